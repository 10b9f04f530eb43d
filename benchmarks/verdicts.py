"""How often the verdicts are right on traces with a known truth. Writes the table of docs/measurement.md.

Run: python benchmarks/verdicts.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from traces import FAULTS, NOISES, trace  # noqa: E402

from benchmarks.generated import write_part  # noqa: E402
from edgekit.measure.shapes import shape_of  # noqa: E402

TRIALS = 400


def rate(fault: str, kind: str) -> float:
    """Return the part of the traces for which a verdict names the fault, or, if there is none, for which any is given."""
    random = np.random.default_rng(0)
    verdicts = [(shape_of(trace(random, fault, kind)) or ("",))[0] for _ in range(TRIALS)]
    wanted = FAULTS[fault]
    return float(np.mean([verdict in wanted if wanted else verdict != "" for verdict in verdicts]))


def table() -> str:
    """Return the table in Markdown."""
    lines = [
        f"| six sessions of 120 samples, {TRIALS} traces each | {' | '.join(NOISES)} |",
        f"| --- |{' --- |' * len(NOISES)}",
    ]
    for fault, wanted in FAULTS.items():
        meaning = f"named {' or '.join(f'`{one}`' for one in wanted)}" if wanted else "false alarms"
        lines.append(f"| {fault}: {meaning} | {' | '.join(f'{rate(fault, kind):.1%}' for kind in NOISES)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into the page."""
    found = table()
    print(found)
    write_part("verdicts.py", found)


if __name__ == "__main__":
    main()
