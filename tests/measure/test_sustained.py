"""The curve of a sustained measurement: on traces with a known truth, and under a quota that begins in the middle."""

import json
import signal
import threading
import time
from contextlib import suppress

import psutil
import pytest

from edgekit.measure.sustained import change, curve, flips, windows

MS = 1_000_000
PROTOCOL = """name: shortly
sessions: 1
iterations: 50
min_seconds: 6
warmup_seconds: 0.2
window_seconds: 2
"""


def test_parts_are_of_equal_time_and_the_last_incomplete_one_is_left_out():
    assert windows([10 * MS] * 250, 1.0) == [10.0, 10.0]
    assert windows([10 * MS] * 100 + [20 * MS] * 50, 1.0) == [10.0, 20.0]
    assert windows([10 * MS] * 99, 1.0) == []
    assert windows([10 * MS] * 200, 0) == []
    assert windows([1 * MS] * 900 + [50 * MS] * 22, 1.0) == [
        pytest.approx(1000 / 902, rel=0.01),
        50.0,
    ]  # what is stopped counts
    assert windows([600 * MS] * 10, 1.0) == []  # one or two runs in a part show nothing


def test_the_curve_is_that_of_all_sessions():
    slow, fast, short = [12 * MS] * 200, [10 * MS] * 300, [11 * MS] * 100
    assert curve([slow, fast], 1.0) == [pytest.approx(11, rel=0.01)] * 2
    assert curve([slow, fast, short], 1.0) == [pytest.approx(11, rel=0.01)]
    assert change([10.0, 11.0, 12.5]) == 0.25
    assert change([10.0]) is None


def test_models_that_change_places_are_named_and_close_ones_are_not():
    curves = {"steady": [10.0, 10.0], "hot": [9.0, 12.0], "alike": [10.1, 9.9], "short": [1.0]}
    assert flips(curves) == [("hot", "steady"), ("hot", "alike")]


def throttle_from(seconds, stop):
    """Stop the runner for half of every tenth of a second, from `seconds` after its start on, as a CPU quota does."""

    def runner():
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if any("python_runner.py" in word for word in process.cmdline()):
                    return process
        return None

    def work():
        while not stop.is_set():
            found = runner()
            if found is None:
                time.sleep(0.05)
                continue
            with suppress(psutil.Error):
                if time.time() - found.create_time() > seconds:
                    found.send_signal(signal.SIGSTOP)
                    time.sleep(0.05)
                    found.send_signal(signal.SIGCONT)
                time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def deployed(edgekit_process, tmp_path, quota_after):
    (tmp_path / "shortly.yaml").write_text(PROTOCOL)
    tiny = "model.width=0.25", "model.depth=0.1", "model.resolution=64", "weights={random: 0}"
    command = [
        "deploy",
        "v1",
        "--device",
        "host",
        "--target",
        "tflite/xnnpack/fp32",
        "--protocol",
        "shortly.yaml",
        "--json",
    ]
    stop = threading.Event()
    thread = throttle_from(quota_after, stop) if quota_after else None
    try:
        done = edgekit_process(*command, *(word for value in tiny for word in ("--set", value)), cwd=tmp_path)
    finally:
        stop.set()
        if thread:
            thread.join()
    (measured,) = json.loads(done.stdout)["measurements"]
    return measured


@pytest.mark.timing
def test_a_quota_that_begins_in_the_middle_is_seen_in_the_curve_and_marked(edgekit_process, tmp_path):
    quiet = deployed(edgekit_process, tmp_path, None)
    throttled = deployed(edgekit_process, tmp_path, 4)
    assert len(quiet["session_details"]) == 1
    for measured, expected in ((quiet, (0.7, 1.3)), (throttled, (1.4, 4.0))):
        first, *_, last = measured["windows_ms"]
        assert expected[0] < last / first < expected[1]
    assert [mark["block"] for mark in throttled["marks"]] == [0]
    assert throttled["verdict"] == "preliminary"
