"""The generator writes what it says, as edgekit itself would have written it."""

import numpy as np
import pytest

from edgekit.measure.statistics import Summary, summarise
from edgekit.report.rows import rows_of
from tests.synthetic_ledger import TARGETS, Spec, draw, make_truth, summaries_of, write


def test_a_synthetic_ledger_has_what_was_asked_for(ledger):
    spec = Spec(recipes=5, targets=TARGETS, devices=3, repeats=2, sessions=4, samples=8, failures=0.2, seed=3)
    truth = write(ledger, spec)
    assert len(truth.latency_ms) == 60
    assert 0 < len(truth.failed) < 30
    found = ledger.measurements()
    assert len(found) == 2 * len(truth.measured)
    latest = ledger.measurements(latest=True)
    assert {(one.recipe, one.target, one.device_name) for one in latest} == set(truth.measured)
    assert {one.run_id for one in latest} == {ledger.runs()[0].id}
    assert len(ledger.accuracies()) == 20
    assert len(ledger.failures(latest=True)) == len(truth.failed)
    assert len(rows_of(ledger)) == 60
    centres = ledger.session_centres([one.id for one in latest])
    assert {len(one) for one in centres.values()} == {4}


def test_measurements_are_near_the_truth(ledger):
    truth = write(ledger, Spec(recipes=8, sessions=9, samples=40))
    for one in ledger.measurements():
        cell = (one.recipe, one.target, one.device_name)
        error = np.log(one.summary["median"] / truth.latency_ms[cell]) / truth.between[cell]
        assert abs(error) < 3  # of the median of nine: its standard error is 0.42
    spreads = list(truth.between.values())
    assert max(spreads) > 2 * min(spreads)


@pytest.mark.parametrize(("sessions", "samples"), [(3, 5), (6, 30), (12, 40)])
def test_summaries_are_those_of_edgekit(sessions, samples):
    spec = Spec(recipes=2, sessions=sessions, samples=samples)
    truth = make_truth(spec)
    drawn = draw(spec, truth, truth.measured, np.random.default_rng(0))
    for own, one in zip(summaries_of(drawn), drawn, strict=True):
        expected = summarise(one.tolist(), [30_000_000] * sessions, [1] * sessions)
        found = Summary.model_validate({**own, "first": expected.first})
        pairs = zip(found.model_dump().items(), expected.model_dump().items(), strict=True)
        for (name, value), (other, right) in pairs:
            assert name == other
            assert value == (pytest.approx(right) if name != "centre" else right)


def test_the_same_seed_gives_the_same_truth():
    assert make_truth(Spec(seed=4)) == make_truth(Spec(seed=4)) != make_truth(Spec(seed=5))
