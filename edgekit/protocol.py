"""Protocols: how to measure. Sources of the rules: docs/architecture.md."""

from __future__ import annotations

from pydantic import BaseModel

from edgekit.errors import UsageError


class Protocol(BaseModel):
    """How a measurement is made. A session is one fresh process; times are in seconds.

    A warm-up of `warmup_seconds`, and at least one run, precedes the timed runs.
    There are at least `iterations` timed runs, and they take at least `min_seconds`.
    Fewer than six `sessions` give no 95 % interval, so the verdict is then ``preliminary``.
    """

    name: str
    sessions: int
    iterations: int
    min_seconds: float
    warmup_seconds: float
    threads: int = 1
    session_timeout: float = 300


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # One thread on one large core, batch 1, as the MobileNetV3 paper (section 6.1.2); LiteRT's warm-up.
        Protocol(name="1t-big", sessions=6, iterations=50, min_seconds=1.0, warmup_seconds=0.5),
        Protocol(name="quick", sessions=3, iterations=50, min_seconds=1.0, warmup_seconds=0.5),
        # An inference takes seconds in an emulator: it shows that the model works, not its speed.
        Protocol(name="emulated", sessions=2, iterations=3, min_seconds=0.0, warmup_seconds=0.0, session_timeout=900),
    )
}


def protocol_named(name: str) -> Protocol:
    """Return a built-in protocol. UsageError lists the known ones."""
    if name not in PROTOCOLS:
        raise UsageError(f"There is no protocol named {name}.", f"Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
