"""How often the intervals that edgekit prints cover a known truth. Writes a table of docs/measurement.md.

Each trial draws the levels of sessions and the samples within them. The truth is what endless sessions would give.
`shared` adds a level to each block, and `drifting` a random walk and a ramp of 8 %. All artifacts of a block share them.

Run: python benchmarks/coverage.py [TRIALS]; all figures go to benchmarks/coverage.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generated import write_part
from edgekit.comparison.overall import geometric_mean_ratio
from edgekit.comparison.ratio import ratio
from edgekit.measure.statistics import (
    early_stopping_bound,
    order_statistic_interval,
    paired_ratio,
    quantile_upper_bound,
)
from edgekit.selection.posterior import draw_latency

Array = NDArray[np.float64]
SESSIONS = (6, 8, 12, 20, 30)
SHAPES = ("normal", "lognormal", "heavy tail", "skewed", "shared", "drifting")
BETWEEN, WITHIN, SAMPLES = 0.01, 0.02, 50
"""The spread of sessions and of samples, as parts of the latency, and the samples of a session."""
RAMP, SHARED = 0.08, 0.01
RATIO = 1.03
TRIALS = 2000
MODELS = 4
"""How many models the geometric mean is of."""
ERRORS = 3.0
"""An interval is named if it is off by more standard errors. Of 180 right ones, one is named by chance in every fourth run."""
LEAST, MOST = 0.95, 0.98
"""An interval must cover at least so often, and more often than `MOST` only if it says so."""


def noise(random: Generator, shape: str, size: tuple[int, ...]) -> Array:
    """Return noise with median 0 and a spread of about 1."""
    if shape == "lognormal":
        return np.asarray(2 * np.expm1(random.normal(0, 0.5, size)))
    if shape == "heavy tail":
        return random.standard_t(3, size)
    if shape == "skewed":
        return random.exponential(1, size) - np.log(2)
    return random.normal(0, 1, size)


def sessions(random: Generator, shape: str, count: int, artifacts: int = 1) -> Array:
    """Return the samples of artifacts in the same blocks, around 1: (artifacts, blocks, samples)."""
    levels = BETWEEN * noise(random, shape, (artifacts, count))
    if shape == "drifting":
        levels += np.cumsum(random.normal(0, SHARED, count)) + RAMP * np.arange(count) / (count - 1)
    if shape == "shared":
        levels += random.normal(0, SHARED, count)
    return np.exp(levels[..., None] + WITHIN * noise(random, shape, (artifacts, count, SAMPLES)))


Covered = tuple[bool, float]
"""Whether an interval covered the truth, and the confidence that it has or is printed with."""


@cache
def true_latency(shape: str) -> float:
    """Return the median of session medians, from a million sessions.

    The median of skewed samples is biased, and a skewed level plus an error has another median than the level.
    """
    random, many = np.random.default_rng(0), 5000
    medians = np.concatenate([np.median(sessions(random, shape, many)[0], axis=1) for _ in range(200)])
    return float(np.median(medians))


def headline(random: Generator, shape: str, count: int) -> Covered:
    """Simulate the latency: the median of session medians."""
    found = order_statistic_interval(np.median(sessions(random, shape, count)[0], axis=1).tolist())
    return found.low <= true_latency(shape) <= found.high, found.confidence


def paired(random: Generator, shape: str, count: int) -> Covered:
    """Simulate the ratio of two artifacts of one run."""
    first, second = (dict(enumerate(medians)) for medians in np.median(sessions(random, shape, count, 2), axis=2))
    _, found = paired_ratio({block: RATIO * value for block, value in first.items()}, second)
    return found.low <= RATIO <= found.high, found.confidence


def unpaired(random: Generator, shape: str, count: int) -> Covered:
    """Simulate the ratio of two runs in `diff`."""
    first, second = (np.median(sessions(random, shape, count)[0], axis=1) for _ in range(2))
    found = ratio(first.tolist(), (RATIO * second).tolist())
    return bool(found.low is not None and found.high is not None and found.low <= RATIO <= found.high), LEAST


def two_runs(random: Generator, shape: str, count: int) -> Covered:
    """Simulate the geometric mean of several ratios of two runs."""
    groups = [sessions(random, shape, count, MODELS).tolist() for _ in range(2)]
    _, found = geometric_mean_ratio(groups[:1], groups[1:], resamples=400)
    return found.low <= 1 <= found.high, found.confidence


def p90(bound: Callable[[Sequence[float], float, float], float | None], confidence: float) -> Simulation:
    """Return the simulation of a bound of p90, which speaks of the iterations within these sessions."""

    def simulate(random: Generator, shape: str, count: int) -> Covered:
        levels = BETWEEN * noise(random, shape, (count,))
        samples = levels[:, None] + WITHIN * noise(random, shape, (count, SAMPLES))
        found = bound(samples.ravel().tolist(), 0.9, confidence)
        # At most 90 % of what these sessions would give lies below the true p90, and so below the bound.
        return found is not None and _share_below(found, levels, shape) >= 0.9, confidence

    return simulate


def _share_below(value: float, levels: Array, shape: str) -> float:
    """Return which part of all samples that sessions of these levels would give is below a value."""
    from scipy import stats

    around = (value - levels) / WITHIN
    if shape == "lognormal":
        return float(np.mean(stats.norm.cdf(np.log(np.maximum(around / 2 + 1, 1e-300)) / 0.5)))
    if shape == "heavy tail":
        return float(np.mean(stats.t.cdf(around, 3)))
    if shape == "skewed":
        return float(np.mean(stats.expon.cdf(around + np.log(2))))
    return float(np.mean(stats.norm.cdf(around)))


def selected(random: Generator, shape: str, count: int) -> Covered:
    """Simulate the latency that `select` counts with."""
    medians = np.median(sessions(random, shape, count)[0], axis=1)
    low, high = np.quantile(draw_latency(medians.tolist(), random, 2000), (0.025, 0.975))
    return bool(low <= true_latency(shape) <= high), LEAST


Simulation = Callable[[Generator, str, int], Covered]
NO_TRUTH = frozenset({"drifting"})
"""Noise under which a single artifact has no level that an interval could cover; its verdict is then `drifting`."""


@dataclass(frozen=True)
class Printed:
    """An interval that edgekit prints: where, its method, and the noise that it is not for."""

    where: str
    method: str
    simulate: Simulation
    not_for: frozenset[str] = NO_TRUTH
    at_least: bool = False
    """Whether it says that it covers at least so often, so that it is never too wide."""


INTERVALS: Mapping[str, Printed] = {
    "headline": Printed("latency of every table", "order statistics", headline),
    "paired": Printed("ratio of two artifacts of a run", "order statistics of block ratios", paired, frozenset()),
    "diff": Printed("ratio of `diff`", "Hodges-Lehmann, Mann-Whitney", unpaired),
    "several": Printed("geometric mean of the ratios of `diff`", "two-level bootstrap", two_runs),
    "p90": Printed("bound of p90, one-sided", "order statistic", p90(quantile_upper_bound, 0.95), at_least=True),
    "p90, MLPerf": Printed(
        "bound of p90, `publication`", "early stopping", p90(early_stopping_bound, 0.99), at_least=True
    ),
    "select": Printed("latency of `select`", "posterior of the order", selected),
}


@dataclass(frozen=True)
class Coverage:
    """How often an interval covered the truth in some trials, and the confidence that it printed."""

    share: float
    claimed: float
    trials: int
    at_least: bool = False

    @property
    def problem(self) -> str | None:
        """What is wrong by more than :data:`ERRORS` standard errors: too narrow for what it says, or too wide; else None."""
        # A confidence over MOST is printed, so it has to hold.
        least = self.claimed if self.claimed > MOST else LEAST
        most = 1 if self.at_least else max(MOST, self.claimed)
        if self.share < least - ERRORS * np.sqrt(least * (1 - least) / self.trials):
            return "too narrow"
        return "too wide" if self.share > most + ERRORS * np.sqrt(most * (1 - most) / self.trials) else None


def coverage(
    simulate: Simulation, shape: str, count: int, trials: int, *, at_least: bool = False, seed: int = 0
) -> Coverage:
    """Return how often an interval covers the truth."""
    random = np.random.default_rng([seed, count, SHAPES.index(shape)])
    found = [simulate(random, shape, count) for _ in range(trials)]
    return Coverage(float(np.mean([held for held, _ in found])), found[0][1], trials, at_least)


Found = Mapping[tuple[str, str, int], Coverage]
"""Interval, noise and sessions -> its coverage."""


def simulated(trials: int) -> Found:
    """Return the coverage of every interval."""
    return {
        (name, shape, count): coverage(printed.simulate, shape, count, trials, at_least=printed.at_least)
        for name, printed in INTERVALS.items()
        for shape in SHAPES
        if shape not in printed.not_for
        for count in SESSIONS
    }


def table(found: Found) -> str:
    """Return a line for each interval in Markdown: the least and the most of all kinds of noise."""
    trials = next(iter(found.values())).trials
    lines = [
        f"| {trials} trials for each number of sessions and noise | method | {' | '.join(map(str, SESSIONS))} |",
        f"| --- | --- |{' ---: |' * len(SESSIONS)}",
    ]
    for name, printed in INTERVALS.items():
        shares = [[own.share for (one, _, n), own in found.items() if (one, n) == (name, count)] for count in SESSIONS]
        cells = " | ".join(f"{100 * min(own):.1f} to {100 * max(own):.1f}" for own in shares)
        lines.append(f"| {printed.where} | {printed.method} | {cells} |")
    return "\n".join([*lines, "", *(f"- {line}" for line in problems(found))]) + "\n"


def problems(found: Found) -> list[str]:
    """Return the intervals that cover too seldom, or more often than they say."""
    return [
        f"{INTERVALS[name].where}, {shape}, {count} sessions: {own.share:.1%}: {own.problem}."
        for (name, shape, count), own in found.items()
        if own.problem
    ]


def details(found: Found) -> str:
    """Return the page of all figures."""
    lines = [
        *("# Coverage of intervals", "", "Written by `python benchmarks/coverage.py`.", ""),
        "| interval | noise | sessions | covers | says |",
        "| --- | --- | ---: | ---: | ---: |",
        *(
            f"| {INTERVALS[name].where} | {shape} | {count} | {100 * own.share:.1f} % | {100 * own.claimed:.1f} % |"
            for (name, shape, count), own in found.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate everything and write both pages."""
    found = simulated(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS)
    print(table(found))
    write_part("coverage.py", table(found))
    Path(__file__).with_suffix(".md").write_text(details(found), encoding="utf-8")


if __name__ == "__main__":
    main()
