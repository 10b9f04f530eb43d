"""Protocols: how to measure. Sources of the rules: docs/architecture.md."""

from __future__ import annotations

from pydantic import BaseModel

from edgekit.errors import UsageError


class Protocol(BaseModel):
    """How a measurement is made. A session is one fresh process; times are in seconds.

    `warmup_seconds` of at least one run precede the timed runs, of which there are at least `iterations` and at least
    `min_seconds`' worth. Fewer than six `sessions` make no 95 % interval, so the verdict is then ``preliminary``.
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
        # Under an emulator one inference takes seconds: enough to see that it works, nothing to compare.
        Protocol(name="emulated", sessions=2, iterations=3, min_seconds=0.0, warmup_seconds=0.0, session_timeout=900),
    )
}


def protocol_named(name: str) -> Protocol:
    """Return a built-in protocol; UsageError names the known ones."""
    if name not in PROTOCOLS:
        raise UsageError(f"There is no protocol named {name}.", f"Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
