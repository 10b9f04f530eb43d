"""The A/A benchmark judges as edgekit does: synthetic copies are alike, and 3 % more is found."""

import numpy as np

from benchmarks.aa_test import INJECTED, Design, judged, passed

DESIGN = Design("none", "none", pairs=60, blocks=12, copies=3, seconds=0.5)


def copies(factor=1.0):
    """Return three copies with 1 % between sessions; the last one takes `factor` times as long."""
    random = np.random.default_rng(0)
    levels = 2_000_000 * np.exp(0.01 * random.normal(size=(3, DESIGN.protocol.sessions)))
    levels[2] *= factor
    return [
        {block: (level * (1 + 0.01 * random.normal(size=30))).astype(int).tolist() for block, level in enumerate(copy)}
        for copy in levels
    ]


def test_60_pairs_are_judged_both_ways():
    found = judged(copies(), DESIGN, 1.0)
    assert len(found) == 60
    assert max(np.mean(found, axis=0)) <= 0.1
    assert min(np.mean(judged(copies(), DESIGN, INJECTED), axis=0)) >= 0.9


def test_copies_that_are_not_alike_do_not_pass():
    assert not passed(copies(1.05), DESIGN)
