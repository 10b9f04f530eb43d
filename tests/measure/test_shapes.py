"""The rules of verdicts on traces with a known truth. docs/measurement.md has the rates of more of them."""

import numpy as np
import pytest
from traces import FAULTS, NOISES, trace

from edgekit.measure.shapes import shape_of
from edgekit.measure.statistics import summarise
from edgekit.measure.verdict import NEXT_STEPS, judge

TRIALS = 60
UNSEEN = {("40 % of the samples 15 % slower", kind) for kind in ("heavy tail", "skewed", "coarse clock")}
"""What the rules do not find. docs/measurement.md says so."""


def verdicts(fault, kind, **shape):
    random = np.random.default_rng(1)
    return [(shape_of(trace(random, fault, kind, **shape)) or ("",))[0] for _ in range(TRIALS)]


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_and_noise_is_not(fault, kind):
    found, wanted = verdicts(fault, kind), FAULTS[fault]
    if not wanted:
        assert sum(verdict != "" for verdict in found) <= 0.05 * TRIALS, found
    elif (fault, kind) not in UNSEEN:
        assert sum(verdict in wanted for verdict in found) >= 0.85 * TRIALS, found


@pytest.mark.parametrize("sessions", [6, 12, 30])
def test_more_sessions_make_no_more_false_alarms(sessions):
    assert sum(verdict != "" for verdict in verdicts("nothing", "lognormal", sessions=sessions)) <= 0.05 * TRIALS


def test_sessions_that_differ_at_random_are_noisy_and_seldom_anything_else():
    random = np.random.default_rng(2)
    found = []
    for _ in range(200):
        levels = random.normal(5e6, 4e5, 6)
        samples = [(level * random.normal(1, 0.01, 60)).astype(int).tolist() for level in levels]
        found.append(judge(summarise(samples, [1] * 6, [1] * 6), samples).verdict)
    assert found.count("noisy") >= 0.8 * len(found), {verdict: found.count(verdict) for verdict in set(found)}
    assert found.count("stable") <= 0.05 * len(found)  # by chance the six are near each other


@pytest.mark.parametrize("fault", [fault for fault, wanted in FAULTS.items() if wanted])
def test_a_verdict_has_its_evidence_and_a_next_step(fault):
    samples = trace(np.random.default_rng(3), fault, "normal")
    judged = judge(summarise(samples, [1] * 6, [1] * 6), samples)
    assert judged.verdict in FAULTS[fault]
    assert judged.evidence.endswith(NEXT_STEPS[judged.verdict])
    assert judged.evidence.startswith("6 sessions, interval ±")


def test_few_sessions_stay_preliminary_and_name_what_they_show():
    samples = trace(np.random.default_rng(4), "a burst of 12 slow samples in each session", "normal", sessions=3)
    judged = judge(summarise(samples, [1] * 3, [1] * 3), samples)
    assert judged.verdict == "preliminary"
    assert "interfered: 10% of the samples are in bursts" in judged.evidence


@pytest.mark.parametrize("count", [1, 3, 19])
def test_too_few_samples_have_no_shape(count):
    assert shape_of([[5_000_000] * count] * 6) is None


def test_equal_samples_have_no_shape():
    assert shape_of([[5_000_000] * 100] * 6) is None
