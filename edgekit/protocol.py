"""Protocols: how to measure. edgekit has some, and users write their own in YAML. Sources of the rules: docs/architecture.md."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field

from edgekit.config.paths import find_document, known_documents
from edgekit.config.yaml import Name, Strict, load_document
from edgekit.errors import UsageError, did_you_mean

Cores = Literal["big", "little", "fastest"]
"""Which CPUs time: some of the fastest cluster, some of the slowest one, or the fastest ones of whatever cluster."""
Scope = Literal["inference", "end-to-end"]
"""What one run is: the inference only, or all from a camera's frame to the outputs in memory."""
Rule = Literal["order-statistic", "early-stopping"]
"""How p90 is bounded: :func:`edgekit.measure.statistics.quantile_upper_bound`, or MLPerf's rule with 99 %."""


class Protocol(Strict):
    """How a measurement is made. A session is one fresh process; times are in seconds.

    The process has `threads` threads, and as many CPUs of the kind `cores`. Both are verified after each session.

    A warm-up of `warmup_seconds`, and at least one run, precedes the timed runs.
    There are at least `iterations` timed runs, and they take at least `min_seconds`.
    `scope` says what one run is.
    With `cold_loads`, so many more processes load the model after its file was dropped from the page cache.
    With `window_seconds`, each part of that length has a mean: the curve of a sustained measurement.
    Fewer than six `sessions` give no 95 % interval, so the verdict is then ``preliminary``.
    """

    name: str
    description: str = ""
    sessions: Annotated[int, Field(ge=1, le=1000)]
    iterations: Annotated[int, Field(ge=1)]
    min_seconds: Annotated[float, Field(ge=0)]
    warmup_seconds: Annotated[float, Field(ge=0)]
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    cores: Cores = "big"
    session_timeout: Annotated[float, Field(gt=0)] = 300
    p90_rule: Rule = "order-statistic"
    window_seconds: Annotated[float, Field(ge=0)] = 0.0
    scope: Scope = "inference"
    cold_loads: Annotated[int, Field(ge=0, le=1000)] = 0


class OwnProtocol(Protocol):
    """A protocol in a user's file. Its name is the file's."""

    name: Name


# One thread on one large core, batch 1, as the MobileNetV3 paper (section 6.1.2); LiteRT's warm-up.
DEFAULT = Protocol(
    name="1t-big",
    description="one thread on one large core: the default",
    sessions=6,
    iterations=50,
    min_seconds=1.0,
    warmup_seconds=0.5,
)


def _like_default(name: str, description: str, **changes: int | str) -> Protocol:
    return DEFAULT.model_copy(update={"name": name, "description": description, **changes})


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        DEFAULT,
        _like_default("2t", "2 threads on the 2 fastest cores", threads=2, cores="fastest"),
        _like_default("4t", "4 threads on the 4 fastest cores", threads=4, cores="fastest"),
        _like_default("1t-little", "one thread on one core of the slowest cluster", cores="little"),
        _like_default("quick", "half of the sessions, so never more than preliminary", sessions=3),
        # MLPerf Mobile asks for 1024 queries and 60 s, and bounds p90 by early stopping. Six sessions share them.
        Protocol(
            name="publication",
            description="1026 iterations and 60 s at least, MLPerf's bound of p90, and cold loads",
            sessions=6,
            iterations=171,
            min_seconds=10.0,
            warmup_seconds=0.5,
            session_timeout=600,
            p90_rule="early-stopping",
            cold_loads=6,
        ),
        # Phones slow down in minutes. One session, because the next would begin on a warm device.
        Protocol(
            name="sustained",
            description="5 minutes without a pause, minute by minute: does the device slow down?",
            sessions=1,
            iterations=50,
            min_seconds=300.0,
            warmup_seconds=0.5,
            session_timeout=900,
            window_seconds=60.0,
        ),
        # An inference takes seconds in an emulator: it shows that the model works, not its speed.
        Protocol(
            name="emulated",
            description="a few runs, for emulated devices: that it works, not its speed",
            sessions=2,
            iterations=3,
            min_seconds=0.0,
            warmup_seconds=0.0,
            session_timeout=900,
        ),
    )
}


def scoped(protocol: Protocol, scope: str) -> Protocol:
    """Return a protocol for a scope. End to end it has a name of its own, so that no table mixes the two."""
    if scope in {protocol.scope, "inference"}:
        return protocol
    return protocol.model_copy(update={"name": f"{protocol.name}+end-to-end", "scope": "end-to-end"})


def known_protocols() -> list[str]:
    """Return the names of edgekit's protocols, then of the user's."""
    return [*PROTOCOLS, *(name for name in known_documents("protocols", "EDGEKIT_PROTOCOLS") if name not in PROTOCOLS)]


def protocol_named(name: str) -> Protocol:
    """Return one of edgekit's protocols by its name, or the user's by its name or file.

    The name of a user's protocol ends with a part of the hash of its values: ``mine@3f2a91``. So measurements before and
    after a change of the file are of two protocols, and share no table.
    UsageError for an unknown name, and for a file that does not fit or is named like one of edgekit's.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if not name.endswith((".yaml", ".yml")) and "/" not in name and name not in known_protocols():
        raise UsageError(f"There is no protocol named {name}.", did_you_mean(name, known_protocols()))
    path = find_document("protocol", "protocols", "EDGEKIT_PROTOCOLS", name)
    own = load_document(OwnProtocol, path)
    if own.name in PROTOCOLS or own.name != path.stem:
        hint = f"Call the file and the protocol alike, and not like edgekit's: {', '.join(PROTOCOLS)}."
        raise UsageError(f"{path}: a protocol cannot be called {own.name} there.", hint)
    # Without defaults, so that a new key of edgekit changes no name.
    values = own.model_dump(exclude={"description"}, exclude_defaults=True)
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]
    return Protocol.model_validate({**own.model_dump(), "name": f"{own.name}@{digest}"})
