"""All compared cells in one number: the geometric mean of their ratios, by the bootstrap of :mod:`edgekit.measure.bootstrap`.

A geometric mean gives the same answer whichever side is the first (Fleming and Wallace, How Not to Lie with Statistics,
Communications of the ACM, 1986).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel

from edgekit.measure.bootstrap import LEAST_BLOCKS, RESAMPLES, Array, Group, bootstrap_interval
from edgekit.measure.statistics import Interval
from edgekit.report.rows import Row

Measured = tuple[Row, Mapping[int, float]]
"""A measured row, and its session centres in ms by block."""
LEAST_CELLS = 2


class Overall(BaseModel):
    """The geometric mean of the second side's latencies over the first's, of `cells` cells, with its interval."""

    value: float
    low: float
    high: float
    confidence: float
    cells: int


def overall(pairs: Sequence[tuple[Measured, Measured]]) -> Overall | None:
    """Return the geometric mean over the cells that have enough sessions on both sides; None if fewer than two have."""
    enough = [pair for pair in pairs if min(len(centres) for _, centres in pair) >= LEAST_BLOCKS]
    if len(enough) < LEAST_CELLS:
        return None
    first, second = (_groups(side) for side in zip(*enough, strict=True))
    if first is None or second is None:
        return None
    value, found = geometric_mean_ratio(first, second)
    return Overall(value=value, low=found.low, high=found.high, confidence=found.confidence, cells=len(enough))


def geometric_mean_ratio(
    first: Sequence[Group], second: Sequence[Group], resamples: int = RESAMPLES
) -> tuple[float, Interval]:
    """Return the geometric mean of `second` over that of `first`, and its interval. Both have the same artifacts."""
    count = sum(map(len, first))

    def log_ratio(medians: Array) -> Array:
        logs = np.log(medians)
        return np.asarray(logs[count:].mean(axis=0) - logs[:count].mean(axis=0))

    value, found = bootstrap_interval(log_ratio, [*first, *second], resamples=resamples)
    ends = Interval(low=float(np.exp(found.low)), high=float(np.exp(found.high)), confidence=found.confidence)
    return float(np.exp(value)), ends


def _groups(side: Sequence[Measured]) -> list[Group] | None:
    """Return a side's session centres. What one run measured on one device is a group, with the blocks in common.

    None if a group has too few blocks in common.
    """
    together: dict[tuple[str | None, str | None], list[Mapping[int, float]]] = {}
    for row, centres in side:
        together.setdefault((row.run, row.device_id), []).append(centres)
    groups: list[Group] = []
    for own in together.values():
        common = sorted(set.intersection(*(set(centres) for centres in own)))
        if len(common) < LEAST_BLOCKS:
            return None
        groups.append([[[centres[block]] for block in common] for centres in own])
    return groups
