"""What disturbed a session, from evidence beside its samples: its CPU time, a reference kernel, and the watch.

Each rule needs a size that changes a latency. Sources: CPU time against wall time separates waiting from working, as
``/usr/bin/time`` does; a cgroup counts the time that its quota stopped it (Documentation/scheduler/sched-bwc.rst of the
kernel); ``THERMAL_STATUS_MODERATE`` is where Android's documentation begins to expect noticeable throttling; a fixed piece
of work shows the speed of a machine whatever its sensors say. Detection and false alarms: docs/measurement.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from edgekit.measure.gate import THROTTLING_STATUS

Kind = Literal["interfered", "throttled"]
"""``interfered``: something else used the machine. ``throttled``: the machine slowed itself down."""
Environment = Mapping[str, Any]
"""What a runner reported of a session, with `watch`: the columns of :func:`edgekit.devices.watch.parse_watch`."""

QUOTA_SHARE = 0.02
"""A CPU quota that stops a process for 2 % of the time changes its mean by as much."""
WAITED_SHARE = 0.05
"""Of the time in which one thread could have worked. On idle machines 1 % was seen: interrupts and the clock itself."""
STOLEN_SHARE = 0.05
"""The part of a CPU's time that a hypervisor gave to others."""
SLOWER = 0.05
"""How much longer the reference kernel takes than usual. On an idle virtual machine it stayed within 2 %."""
CLOCK_FELL = 0.1
"""How far a clock falls below its usual value. Governors change clocks in smaller steps while a CPU is busy."""
FEWEST_LOOKS = 4
"""A session with fewer looks has no halves."""
FEWEST = 3
"""With fewer sessions there is no usual value."""


@dataclass(frozen=True)
class Mark:
    """What disturbed one session: the number of its block from 0 on, the kind, and the evidence."""

    block: int
    kind: Kind
    evidence: str

    def document(self) -> dict[str, Any]:
        """Return the mark as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Usual:
    """The usual speed of a device in a measurement: how long the reference kernel takes, and the clocks of the timed CPUs.

    None, and no clocks, if it is unknown.
    """

    reference_ns: float | None
    clock_khz: Mapping[str, float]


def usual(environments: Sequence[Environment]) -> Usual:
    """Return the medians over the sessions of one measurement."""
    references = [taken for one in environments if (taken := _reference_ns(one)) is not None]
    clocks: dict[str, list[float]] = {}
    for one in environments:
        for cpu, seen in while_timed(one, "clock_khz").items():
            clocks.setdefault(cpu, []).append(float(np.median(seen)))
    return Usual(
        float(np.median(references)) if len(references) >= FEWEST else None,
        {cpu: float(np.median(seen)) for cpu, seen in clocks.items() if len(seen) >= FEWEST},
    )


def marks(sessions: Mapping[int, Environment], normal: Usual) -> list[Mark]:
    """Return what disturbed the sessions of one measurement, which are given by their blocks, in that order."""
    return [Mark(block, kind, text) for block, one in sorted(sessions.items()) for kind, text in _found(one, normal)]


def _found(session: Environment, normal: Usual) -> list[tuple[Kind, str]]:
    """Return what the rules find. A slow reference kernel counts only without another explanation."""
    explained = [found for rule in RULES for found in rule(session, normal)]
    return explained or list(_slower(session, normal))


def _stopped_by_quota(session: Environment, _: Usual) -> Iterator[tuple[Kind, str]]:
    stopped, wall = session.get("quota_ns"), session.get("wall_ns")
    if stopped and wall and stopped / wall > QUOTA_SHARE:
        yield "throttled", f"a CPU quota stopped its processes for {min(1.0, stopped / wall):.0%} of the time"


def _waited(session: Environment, _: Usual) -> Iterator[tuple[Kind, str]]:
    """Find waiting of a single thread. With several threads, the time that they should work is unknown."""
    cpu, wall = session.get("cpu_ns"), session.get("wall_ns")
    if session.get("threads") != 1 or not cpu or not wall:
        return
    waited = 1 - cpu / wall - (session.get("quota_ns") or 0) / wall
    if waited > WAITED_SHARE:
        times = f", and others took its CPU {session['preempted']} times" if session.get("preempted") else ""
        yield "interfered", f"it waited for {waited:.0%} of the time{times}"


def _stolen(session: Environment, _: Usual) -> Iterator[tuple[Kind, str]]:
    for cpu, seen in while_timed(session, "stolen").items():
        if (share := float(np.mean(seen))) > STOLEN_SHARE:
            yield "interfered", f"the hypervisor gave {share:.0%} of CPU {cpu} to others"


def _too_hot(session: Environment, _: Usual) -> Iterator[tuple[Kind, str]]:
    status = max(_column(session, session.get("watch", {}).get("thermal_status", ())), default=0)
    if status >= THROTTLING_STATUS:
        yield "throttled", f"its thermal status was {status:g}"


def _clock_fell(session: Environment, normal: Usual) -> Iterator[tuple[Kind, str]]:
    """Find a clock that is lower than in most sessions, or in the second half of this one. One low look is no fall."""
    for cpu, seen in while_timed(session, "clock_khz").items():
        half = len(seen) // 2
        before = [normal.clock_khz.get(cpu, 0.0)]
        before += [float(np.median(seen[:half]))] if len(seen) >= FEWEST_LOOKS else []
        high, low = max(before), float(np.median(seen[half:] if len(before) > 1 else seen))
        if low < (1 - CLOCK_FELL) * high:
            yield "throttled", f"the clock of CPU {cpu} fell from {high / 1e6:.2f} to {low / 1e6:.2f} GHz"


RULES: Sequence[Callable[[Environment, Usual], Iterator[tuple[Kind, str]]]] = (
    _stopped_by_quota,
    _waited,
    _stolen,
    _too_hot,
    _clock_fell,
)


def _slower(session: Environment, normal: Usual) -> Iterator[tuple[Kind, str]]:
    taken = _reference_ns(session)
    if taken is not None and normal.reference_ns and taken > (1 + SLOWER) * normal.reference_ns:
        more = taken / normal.reference_ns - 1
        yield "interfered", f"the reference kernel took {more:.0%} longer than usual"


def _reference_ns(session: Environment) -> float | None:
    """Return how long the kernel took: the slower of the median before the timed runs and the median after them."""
    taken = session.get("reference_ns")
    if not taken:
        return None
    half = len(taken) // 2
    return float(max(np.median(taken[:half]), np.median(taken[half:])))


def while_timed(session: Environment, name: str) -> dict[str, list[float]]:
    """Return key -> values of a column of the watch (`clock_khz`, `watts`, ...) that were seen while runs were timed.

    Keys without any are left out.
    """
    columns = session.get("watch", {}).get(name, {})
    return {key: seen for key, values in columns.items() if (seen := _column(session, values))}


def _column(session: Environment, values: Sequence[float | None]) -> list[float]:
    if not values or not session.get("timed_uptime_ns"):
        return []
    start, end = (moment / 1e9 for moment in session["timed_uptime_ns"])
    moments = session["watch"]["uptime_s"]
    return [value for at, value in zip(moments, values, strict=True) if value is not None and start <= at <= end]
