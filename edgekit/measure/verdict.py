"""May this number be trusted? A word, and the evidence for it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from edgekit.measure.statistics import Summary

Verdict = Literal["stable", "noisy", "preliminary"]

MIN_SESSIONS = 6
"""With fewer, no order-statistic interval for the median reaches 95 %."""
MAX_HALF_WIDTH = 0.05
"""Half the interval over the median: above it the second digit of the number is open."""


class Judgement(BaseModel):
    """A verdict, the evidence and the next step."""

    verdict: Verdict
    evidence: str


def judge(summary: Summary) -> Judgement:
    """Judge a measurement: ``preliminary`` (too few sessions), ``noisy`` (interval too wide) or ``stable``."""
    half_width = (summary.interval.high - summary.interval.low) / 2 / summary.median
    spread = f"{summary.sessions} sessions, interval ±{half_width:.1%} of the median"
    if summary.sessions < MIN_SESSIONS:
        confidence = f"{summary.interval.confidence:.0%}"
        return Judgement(
            verdict="preliminary",
            evidence=f"{spread} at {confidence} confidence; {MIN_SESSIONS} sessions are needed: --protocol 1t-big",
        )
    if half_width > MAX_HALF_WIDTH:
        return Judgement(
            verdict="noisy",
            evidence=f"{spread}, more than {MAX_HALF_WIDTH:.0%}; stop other work on the device and repeat",
        )
    return Judgement(verdict="stable", evidence=spread)
