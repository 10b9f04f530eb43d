"""May this number be trusted? A word, and the evidence for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from edgekit.measure.disturbances import Mark
from edgekit.measure.shapes import shape_of
from edgekit.measure.statistics import Summary

Verdict = Literal[
    "stable", "noisy", "preliminary", "fallback", "interfered", "throttled", "not_steady", "drifting", "bimodal"
]

MIN_SESSIONS = 6
"""With fewer, no order-statistic interval for the median reaches 95 %."""
MAX_HALF_WIDTH = 0.05
"""Half the interval over the median: above it the second digit of the number is open."""
MOST_MARKED = 0.25
"""The part of the sessions that may be disturbed: the median of the others still stands for the device."""
NEXT_STEPS: Mapping[str, str] = {
    "fallback": "see which operators: edgekit operators RECIPE --device NAME --each",
    "not_steady": "use a protocol with a longer warmup_seconds",
    "interfered": "stop other work on the device and repeat",
    "throttled": "let the device cool down, lift the limit on its clocks or CPU time, and repeat",
    "drifting": "let the device cool down, hold its clocks if you can, and repeat",
    "bimodal": "repeat with more sessions (two layouts in memory, or two kinds of cores, may cause it)",
    "noisy": "stop other work on the device and repeat",
}
"""Verdict -> what to do. The number of such a measurement does not stand for the device."""


EMULATED = "emulated: times say nothing about the device"
"""The next step of every verdict on an emulated device."""


class Judgement(BaseModel):
    """A verdict, the evidence and the next step."""

    verdict: Verdict
    evidence: str


def judge(
    summary: Summary,
    samples: Sequence[Sequence[int]] = (),
    marks: Sequence[Mark] = (),
    fallback: str = "",
    emulated: bool = False,
) -> Judgement:
    """Judge a measurement by its summary, by its sessions' samples in nanoseconds if there are any, and by its marks.

    ``preliminary``: too few sessions. ``fallback``: operators ran off the delegate; `fallback` is the evidence for it. Then
    what disturbed the sessions (:mod:`edgekit.measure.disturbances`), what the shape of the samples shows
    (:mod:`edgekit.measure.shapes`), ``noisy`` (the interval is too wide), or ``stable``. An `emulated` device gets no
    advice to measure again, because no number of sessions gives its times a meaning.
    """
    found = _judge(summary, samples, marks, fallback)
    if not emulated:
        return found
    return Judgement(verdict=found.verdict, evidence=f"{found.evidence.partition('; ')[0]}; {EMULATED}")


def _judge(summary: Summary, samples: Sequence[Sequence[int]], marks: Sequence[Mark], fallback: str) -> Judgement:
    half_width = (summary.interval.high - summary.interval.low) / 2 / summary.median
    spread = f"{summary.sessions} sessions, interval ±{half_width:.1%} of the median"
    found = ("fallback", fallback) if fallback else _disturbed(summary.sessions, marks)
    found = found or (shape_of(samples) if samples else None)
    if summary.sessions < MIN_SESSIONS:
        if summary.sessions == 1:
            spread = "1 session, so no interval"
        else:
            spread += f" at {summary.interval.confidence:.0%} confidence"
        seen = f", {found[0]}: {found[1]}" if found else ""
        needed = f"{MIN_SESSIONS} sessions are needed: --protocol 1t-big"
        if summary.windows:
            needed = "its curve shows how the latency changes; for the latency itself, --protocol 1t-big"
        return Judgement(verdict="preliminary", evidence=f"{spread}{seen}; {needed}")
    if found:
        name, evidence = found
        return Judgement.model_validate({"verdict": name, "evidence": f"{spread}, {evidence}; {NEXT_STEPS[name]}"})
    if marks:
        spread += f", {_sessions_of(marks)} disturbed"
    if half_width > MAX_HALF_WIDTH:
        return Judgement(verdict="noisy", evidence=f"{spread}, more than {MAX_HALF_WIDTH:.0%}; {NEXT_STEPS['noisy']}")
    return Judgement(verdict="stable", evidence=spread)


def _disturbed(sessions: int, marks: Sequence[Mark]) -> tuple[str, str] | None:
    """Return the most frequent kind of the marks and the evidence of its first, if more sessions are marked than may be."""
    if len({mark.block for mark in marks}) <= MOST_MARKED * sessions:
        return None
    kind = Counter(mark.kind for mark in marks).most_common(1)[0][0]
    first = next(mark for mark in marks if mark.kind == kind)
    return kind, f"{_sessions_of(marks)} disturbed: in session {first.block + 1}, {first.evidence}"


def _sessions_of(marks: Sequence[Mark]) -> str:
    numbers = sorted({mark.block + 1 for mark in marks})
    was = "was" if len(numbers) == 1 else "were"
    return f"session{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} {was}"
