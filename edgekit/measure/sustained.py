"""How a latency changes over minutes: means of equal parts of a session, and models that change places.

Runs are back to back, so a part's mean is the time that a run takes in continuous use. A median would not show a CPU quota,
which stops few runs for long. A phone gets hot in minutes and slows down, so the model that is faster at first may be the
slower one at the end. Source: MLPerf Mobile runs for 60 s at least, and its authors show throttling after it (Janapa Reddi et
al., "MLPerf Mobile Inference Benchmark", MLSys 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

NANOSECONDS = 1e6  # per millisecond
SECOND = 1e9  # nanoseconds
FEWEST = 5
"""A part with fewer runs shows nothing."""
APART = 0.02
"""Two models that are closer than 2 % are not in an order that could change."""


def windows(samples: Sequence[int], seconds: float) -> list[float]:
    """Return the mean in milliseconds of each part of `seconds` of back-to-back runs in nanoseconds, in order.

    A run belongs to the part in which it begins. The last part counts if it is whole.
    """
    if not seconds or not samples:
        return []
    values = np.asarray(samples, dtype=np.int64)
    ends, part_ns = np.cumsum(values), round(seconds * SECOND)
    parts, whole = (ends - values) // part_ns, int(ends[-1] // part_ns)
    found = [values[parts == part] for part in range(whole)]
    if any(len(part) < FEWEST for part in found):
        return []
    return [float(np.mean(part)) / NANOSECONDS for part in found]


def curve(sessions: Sequence[Sequence[int]], seconds: float) -> list[float]:
    """Return the median over sessions of each part's mean. Parts that a session lacks are left out."""
    curves = [windows(samples, seconds) for samples in sessions]
    length = min(map(len, curves), default=0)
    return [float(np.median([one[part] for one in curves])) for part in range(length)]


def change(found: Sequence[float]) -> float | None:
    """Return how much slower the last part is than the first: 0.2 is 20 %; None for fewer than two parts."""
    return found[-1] / found[0] - 1 if len(found) > 1 else None


def flips(curves: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    """Return pairs of names of which the first is faster in the first part, and slower in the last part."""
    whole = {name: one for name, one in curves.items() if len(one) > 1}
    found = []
    for name, other in combinations(whole, 2):
        first, last = whole[name][0] / whole[other][0] - 1, whole[name][-1] / whole[other][-1] - 1
        if min(abs(first), abs(last)) > APART and first * last < 0:
            found.append((name, other) if first < 0 else (other, name))
    return found
