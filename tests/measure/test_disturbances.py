"""What disturbed a session: each rule finds its cause, and nothing else."""

import pytest

from edgekit.measure.disturbances import FEWEST, marks, usual
from edgekit.measure.statistics import summarise
from edgekit.measure.verdict import judge

REFERENCE = [2_000_000] * 10
QUIET = {
    "runner": "native",
    "threads": 1,
    "wall_ns": 1_000_000_000,
    "cpu_ns": 990_000_000,
    "quota_ns": 0,
    "preempted": 40,
    "reference_ns": REFERENCE,
    "timed_uptime_ns": [100_000_000_000, 101_000_000_000],
    "watch": {
        "uptime_s": [99.0, 100.2, 100.8, 101.4],
        "clock_khz": {"7": [600_000, 2_800_000, 2_800_000, 600_000]},  # it is idle before and after
        "stolen": {"7": [None, 0.0, 0.01, 0.5]},
        "temperature_c": {"skin": [30.0, 31.0, 31.5, 31.5]},
        "thermal_status": [0, 0, 1, 3],
    },
}


def watched(**columns):
    return {"watch": {**QUIET["watch"], **columns}}


FOUND = {
    "a quota": (
        {"quota_ns": 480_000_000, "cpu_ns": 510_000_000},
        "throttled",
        "a CPU quota stopped its processes for 48%",
    ),
    "another program": (
        {"cpu_ns": 500_000_000},
        "interfered",
        "it waited for 50% of the time, and others took its CPU 40",
    ),
    "a hypervisor": (watched(stolen={"7": [None, 0.2, 0.1, 0.0]}), "interfered", "the hypervisor gave 15% of CPU 7"),
    "heat": (watched(thermal_status=[0, 1, 2, 0]), "throttled", "its thermal status was 2"),
    "a clock that falls": (
        watched(
            uptime_s=[99.0, 100.1, 100.3, 100.5, 100.7, 100.9, 101.4],
            clock_khz={"7": [600_000, 2_800_000, 2_800_000, 2_700_000, 1_900_000, 1_900_000, 600_000]},
            stolen={},
            thermal_status=[0] * 7,
            temperature_c={},
        ),
        "throttled",
        "the clock of CPU 7 fell from 2.80 to 1.90 GHz",
    ),
    "a clock below the other sessions'": (
        watched(clock_khz={"7": [600_000, 1_900_000, 1_900_000, 600_000]}),
        "throttled",
        "fell from 2.80 to 1.90 GHz",
    ),
    "a slow machine": ({"reference_ns": [2_000_000] * 5 + [2_300_000] * 5}, "interfered", "kernel took 15% longer"),
}


def marks_of(*environments):
    return marks(dict(enumerate(environments)), usual(environments))


@pytest.mark.parametrize("cause", FOUND)
def test_each_cause_is_found_in_its_session_and_named(cause):
    change, kind, said = FOUND[cause]
    (mark,) = marks_of(QUIET, QUIET, {**QUIET, **change}, QUIET)
    assert (mark.block, mark.kind) == (2, kind)
    assert said in mark.evidence


@pytest.mark.parametrize(
    "harmless",
    [
        {},
        {"cpu_ns": 960_000_000},
        {"quota_ns": 10_000_000},
        {"reference_ns": [2_000_000] * 4 + [9_000_000] + [2_050_000] * 5},  # one interrupt
        {"reference_ns": [1_000_000] * 10},  # faster than usual disturbs nothing
        watched(clock_khz={"7": [600_000, 2_700_000, 2_600_000, 600_000]}),
        watched(  # a boost clock moves all the time
            uptime_s=[99.0, 100.1, 100.3, 100.5, 100.7, 100.9, 101.4],
            clock_khz={"7": [600_000, 2_800_000, 2_400_000, 2_750_000, 2_800_000, 2_450_000, 600_000]},
            stolen={},
            thermal_status=[0] * 7,
            temperature_c={},
        ),
        {"threads": 4, "cpu_ns": 500_000_000},  # how long four threads should work is unknown
        {"watch": {}},
        {"timed_uptime_ns": None},
    ],
)
def test_what_changes_no_latency_is_no_mark(harmless):
    assert marks_of(QUIET, QUIET, {**QUIET, **harmless}, QUIET) == []


@pytest.mark.parametrize("runner", [{"delegated": "completely"}, {"told": {"mean": 3.0, "runs": 50}}])
def test_a_tool_that_reports_nothing_of_this_has_no_marks(runner):
    assert marks_of(*[runner] * 6) == []


def test_two_sessions_have_no_usual_speed():
    slow = {**QUIET, "reference_ns": [4_000_000] * 10}
    assert FEWEST == 3
    assert marks_of(QUIET, slow) == []
    assert [mark.block for mark in marks_of(QUIET, slow, QUIET)] == [1]


def judged(disturbed):
    environments = [{**QUIET, "cpu_ns": 400_000_000} if block in disturbed else QUIET for block in range(6)]
    samples = [[5_000_000 + session * 1000 + step for step in range(50)] for session in range(6)]
    return judge(summarise(samples, [1] * 6, [1] * 6), samples, marks_of(*environments))


def test_one_disturbed_session_of_six_is_named_and_the_median_of_the_others_counts():
    assert judged(set()).verdict == "stable"
    one = judged({3})
    assert (one.verdict, "session 4 was disturbed" in one.evidence) == ("stable", True)


def test_two_disturbed_sessions_of_six_are_a_verdict_with_a_next_step():
    found = judged({0, 3})
    assert found.verdict == "interfered"
    assert "sessions 1, 4 were disturbed: in session 1, it waited for 60%" in found.evidence
    assert found.evidence.endswith("stop other work on the device and repeat")
