"""Synthetic samples of measurements with a known truth: what is wrong with them, and the noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

LATENCY_NS = 5_000_000
BETWEEN = 0.008
"""Standard deviation of the sessions' levels, as a part of the latency."""

NOISES = ("normal", "lognormal", "heavy tail", "skewed", "coarse clock")
FAULTS: Mapping[str, tuple[str, ...]] = {
    "nothing": (),
    "one outlier": (),
    "warm-up of 12 % that is not over": ("not_steady",),
    "ramp of 8 % over the sessions": ("drifting",),
    "ramp of 10 % within each session": ("drifting",),
    "step of 10 % in the middle": ("drifting", "bimodal"),
    "every second session 10 % slower": ("bimodal",),
    "40 % of the samples 15 % slower": ("bimodal",),
    "a burst of 12 slow samples in each session": ("interfered",),
}
"""What is wrong -> the verdicts that name it. An empty tuple: nothing that a verdict should name."""


def noise(random: Generator, kind: str, count: int) -> NDArray[np.float64]:
    """Return factors around 1."""
    if kind == "normal":
        return random.normal(1, 0.01, count)
    if kind == "lognormal":
        return np.exp(random.normal(0, 0.02, count))
    if kind == "heavy tail":
        return 1 + 0.01 * np.abs(random.standard_t(2, count))
    if kind == "skewed":
        return 1 + random.exponential(0.03, count)
    return np.round(np.exp(random.normal(0, 0.02, count)) / 0.05) * 0.05


def trace(random: Generator, fault: str, kind: str, sessions: int = 6, count: int = 120) -> list[list[int]]:
    """Return the samples of each session in nanoseconds."""
    levels, time, found = random.normal(1, BETWEEN, sessions), np.arange(count), []
    for session in range(sessions):
        values = LATENCY_NS * levels[session] * noise(random, kind, count)
        if fault.startswith("warm-up"):
            values *= 1 + 0.12 * np.exp(-time / (count / 6))
        elif fault.startswith("ramp of 8"):
            values *= 1 + 0.08 * session / (sessions - 1)
        elif fault.startswith("ramp of 10"):
            values *= 1 + 0.10 * time / count
        elif fault.startswith("step"):
            values *= 1.10 if session >= sessions // 2 else 1
        elif fault.startswith("every second"):
            values *= 1.10 if session % 2 else 1
        elif fault.startswith("40 %"):
            values *= np.where(random.random(count) < 0.4, 1.15, 1)
        elif fault.startswith("a burst"):
            first = random.integers(0, count - 15)
            values[first : first + 12] *= random.uniform(1.5, 2.5)
        elif fault == "one outlier":
            values[random.integers(0, count)] *= 20
        found.append(values.astype(int).tolist())
    return found
