import numpy as np
import pytest

from edgekit.measure.statistics import summarise
from edgekit.measure.verdict import judge

MILLISECOND = 1_000_000


def trace(medians, seed=0):
    random = np.random.default_rng(seed)
    samples = [(median * MILLISECOND * random.normal(1, 0.01, 60)).astype(int).tolist() for median in medians]
    return summarise(samples, [1] * len(samples), [1] * len(samples))


def test_few_sessions_are_preliminary_however_alike():
    judged = judge(trace([5.0] * 5))
    assert judged.verdict == "preliminary"
    assert "75%" not in judged.evidence
    assert "94%" in judged.evidence  # what five sessions cover


def test_the_one_session_of_a_sustained_measurement_is_no_fault():
    judged = judge(trace([5.0]).model_copy(update={"windows": [5.0, 5.1], "window_seconds": 60.0}))
    assert judged.verdict == "preliminary"
    assert "6 sessions are needed" not in judged.evidence
    assert "its curve shows how the latency changes" in judged.evidence


def test_alike_sessions_are_stable():
    assert judge(trace([5.0] * 6)).verdict == "stable"


def test_sessions_that_differ_are_noisy_and_say_what_to_do():
    judged = judge(trace([5.0, 5.0, 5.0, 5.0, 5.0, 6.0]))
    assert judged.verdict == "noisy"
    assert "stop other work" in judged.evidence


def test_verdicts_on_synthetic_devices_are_mostly_right():
    random = np.random.default_rng(1)
    quiet = [judge(trace(random.normal(5, 0.02, 6), seed)).verdict for seed in range(200)]
    loud = [judge(trace(random.normal(5, 0.6, 6), seed)).verdict for seed in range(200)]
    assert quiet.count("stable") >= 198  # false alarms
    assert loud.count("noisy") >= 190  # detections


@pytest.mark.parametrize("sessions", [[5.0] * 2, [5.0, 5.0, 5.0, 5.0, 5.0, 6.0], [5.0] * 6])
def test_an_emulated_device_is_never_told_to_measure_again(sessions):
    real, emulated = judge(trace(sessions)), judge(trace(sessions), emulated=True)
    assert emulated.verdict == real.verdict
    assert emulated.evidence.endswith("; emulated: times say nothing about the device")
    assert "needed" not in emulated.evidence and "repeat" not in emulated.evidence
