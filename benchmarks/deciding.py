"""How often ``--until decided`` decides wrongly if one looks after every block. Writes a table of docs/measurement.md.

Run: python benchmarks/deciding.py [TRIALS]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.coverage import BETWEEN, RATIO, SHAPES, noise
from benchmarks.generated import write_part
from edgekit.measure.deciding import ALPHA, confidence_sequence
from edgekit.measure.statistics import order_statistic_interval

MARGIN = RATIO - 1
BLOCKS = 100
"""When time ends."""
FIRST_LOOK = 6
TRIALS = 2000


@dataclass(frozen=True)
class Rates:
    """Of some trials: the shares that were decided each way, and after how many blocks half of the trials were decided.

    `ever` and `naive` are the shares in which 1 was excluded at any look, by the rule and by ordinary intervals, if nothing
    stops before :data:`BLOCKS`.
    """

    differs: float
    within: float
    ever: float
    naive: float
    blocks: float


def decided_at(ratios: Sequence[float]) -> tuple[str, int]:
    """Return how one trial is decided by the rule, and after how many blocks; ``undecided`` if time ends first."""
    for count, (low, high) in enumerate(confidence_sequence(ratios, ALPHA), start=1):
        if low <= high and not low <= 1 <= high:
            return "differs", count
        if low <= high and low > 1 / (1 + MARGIN) and high < 1 + MARGIN:
            return "within", count
    return "undecided", len(ratios)


def naive_differs(ratios: Sequence[float]) -> bool:
    """Return whether the ordinary interval excludes 1 after any block."""
    looks = (order_statistic_interval(ratios[:count]) for count in range(FIRST_LOOK, len(ratios) + 1))
    return any(not look.low <= 1 <= look.high for look in looks)


def rates(shape: str, ratio: float, trials: int) -> Rates:
    """Return how trials with a true ratio are decided."""
    random = np.random.default_rng([SHAPES.index(shape), round(1000 * ratio)])
    found, ever, naive = [], 0, 0
    for _ in range(trials):
        levels = BETWEEN * noise(random, shape, (2, BLOCKS))
        ratios = (ratio * np.exp(levels[0] - levels[1])).tolist()
        found.append(decided_at(ratios))
        low, high = confidence_sequence(ratios, ALPHA)[-1]
        ever += not low <= 1 <= high
        naive += naive_differs(ratios)
    outcomes = [outcome for outcome, _ in found]
    return Rates(
        differs=outcomes.count("differs") / trials,
        within=outcomes.count("within") / trials,
        ever=ever / trials,
        naive=naive / trials,
        blocks=float(np.median([count for _, count in found])),
    )


def table(trials: int) -> str:
    """Return the table in Markdown."""
    lines = [
        f"| {trials} trials, a look after every block | equal, {BLOCKS} blocks: called different "
        f"| by ordinary 95 % intervals | equal, margin {MARGIN:.0%}: called within, different | blocks "
        f"| {MARGIN:.0%} apart: called within, different | blocks |",
        "| --- |" + " ---: |" * 6,
    ]
    for shape in SHAPES[:4]:
        equal, apart = rates(shape, 1.0, trials), rates(shape, RATIO, trials)
        lines.append(
            f"| {shape} | {equal.ever:.1%} | {equal.naive:.1%} | {equal.within:.1%}, {equal.differs:.1%} "
            f"| {equal.blocks:.0f} | {apart.within:.1%}, {apart.differs:.1%} | {apart.blocks:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into the page."""
    found = table(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS)
    print(found)
    write_part("deciding.py", found)


if __name__ == "__main__":
    main()
