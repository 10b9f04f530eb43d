"""Energy is the reported power times the time of a run, with its interval, or unknown for a reason."""

import pytest

from edgekit.measure.energy import energy


def session(watts, source="VDD_IN", wall_s=2.0):
    return {
        "wall_ns": wall_s * 1e9,
        "timed_uptime_ns": [10e9, (10 + wall_s) * 1e9],
        "watch": {
            "uptime_s": [9.5, *(10.1 + 0.6 * place for place in range(len(watts)))],
            "watts": {source: [99.0, *watts]},
        },
    }


UNPLUGGED = {"battery": {"plugged": "nothing"}}


def test_energy_is_power_times_time_over_runs_and_has_the_interval_of_its_sessions():
    found = energy([session([4.0 + 0.1 * number] * 3) for number in range(6)], [100] * 6, {})
    assert found["millijoules"] == pytest.approx(
        1000 * 4.25 * 2 / 100
    )  # the reading before the timed runs does not count
    assert found["interval_mj"] == (pytest.approx(80), pytest.approx(90))
    assert found["confidence"] == pytest.approx(1 - 2**-5)
    assert (found["source"], found["kind"]) == ("VDD_IN", "derived")


def test_a_phones_battery_counts_only_if_nothing_else_gives_power():
    sessions = [session([2.0, 2.0], source="battery")] * 6
    assert energy(sessions, [100] * 6, UNPLUGGED)["millijoules"] == pytest.approx(40)
    for plugged in ("USB", "unknown"):
        found = energy(sessions, [100] * 6, {"battery": {"plugged": plugged}})
        assert found == {"unknown": f"the battery's current is not the device's: power comes from {plugged}"}
    assert "unknown" in energy(sessions, [100] * 6, {})


def test_what_was_not_seen_in_every_session_is_unknown():
    seen, short = session([2.0, 2.0]), session([2.0])
    assert "fewer than 2 readings" in energy([seen, short], [100, 100], {})["unknown"]
    for nothing in ({}, {"watch": {}}, session([2.0, 2.0], source="VDD_GPU")):
        assert "no power" in energy([seen, nothing], [100, 100], {})["unknown"]
    part = session([2.0, 2.0], source="VIN_SYS_5V0")  # of an AGX Orin, whose CPU has a rail of its own
    assert "no power" in energy([part, part], [100, 100], {})["unknown"]
    assert "no power" in energy([], [], {})["unknown"]


def test_a_battery_that_reports_milliamperes_gives_no_energy():
    sessions = [session([0.0025, 0.003], source="battery")] * 6
    assert "another one than documented" in energy(sessions, [100] * 6, UNPLUGGED)["unknown"]
