"""May this number be trusted? A word, and the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from edgekit.measure.shapes import shape_of
from edgekit.measure.statistics import Summary

Verdict = Literal["stable", "noisy", "preliminary", "fallback", "not_steady", "interfered", "drifting", "bimodal"]

MIN_SESSIONS = 6
"""With fewer, no order-statistic interval for the median reaches 95 %."""
MAX_HALF_WIDTH = 0.05
"""Half the interval over the median: above it the second digit of the number is open."""
NEXT_STEPS: Mapping[str, str] = {
    "fallback": "see which operators: edgekit operators RECIPE --device NAME --each",
    "not_steady": "use a protocol with a longer warmup_seconds",
    "interfered": "stop other work on the device and repeat",
    "drifting": "let the device cool down, hold its clocks if you can, and repeat",
    "bimodal": "repeat with more sessions (two layouts in memory, or two kinds of cores, may cause it)",
    "noisy": "stop other work on the device and repeat",
}
"""Verdict -> what to do. The number of such a measurement does not stand for the device."""


class Judgement(BaseModel):
    """A verdict, the evidence and the next step."""

    verdict: Verdict
    evidence: str


def judge(summary: Summary, samples: Sequence[Sequence[int]] = (), fallback: str = "") -> Judgement:
    """Judge a measurement by its summary, and by its sessions' samples in nanoseconds if there are any.

    ``preliminary``: too few sessions. ``fallback``: operators ran off the delegate; `fallback` is the evidence for it. Then
    what the shape of the samples shows (:mod:`edgekit.measure.shapes`), ``noisy`` (the interval is too wide), or ``stable``.
    """
    half_width = (summary.interval.high - summary.interval.low) / 2 / summary.median
    spread = f"{summary.sessions} sessions, interval ±{half_width:.1%} of the median"
    shape = ("fallback", fallback) if fallback else shape_of(samples) if samples else None
    if summary.sessions < MIN_SESSIONS:
        confidence = f"{summary.interval.confidence:.0%}"
        seen = f", {shape[0]}: {shape[1]}" if shape else ""
        return Judgement(
            verdict="preliminary",
            evidence=f"{spread} at {confidence} confidence{seen}; {MIN_SESSIONS} sessions are needed: --protocol 1t-big",
        )
    if shape:
        name, found = shape
        return Judgement.model_validate({"verdict": name, "evidence": f"{spread}, {found}; {NEXT_STEPS[name]}"})
    if half_width > MAX_HALF_WIDTH:
        return Judgement(verdict="noisy", evidence=f"{spread}, more than {MAX_HALF_WIDTH:.0%}; {NEXT_STEPS['noisy']}")
    return Judgement(verdict="stable", evidence=spread)
