"""What a device shows while a program runs: read from real shells, and from the text of phones and boards."""

import json
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from lab.scenario import PIXEL_3_CPUS, Scenario

from edgekit.devices.android import Android
from edgekit.devices.base import opened
from edgekit.devices.host import Host
from edgekit.devices.profile import load_profile
from edgekit.devices.watch import parse_watch, pinned_watch
from edgekit.measure.disturbances import marks, usual

GIVEN = Path(__file__).parent / "given"
LOOKS = """@ 100.50 0.52
clock 7 2800000
stat cpu7 100 0 10 50 0 0 0 0 0 0
power battery -450000 4000000
thermal_zone0\t36500\tcpu-0-0
thermal_zone1\t3000\tvbat
@ 101.20 0.60
clock 7 1900000
stat cpu7 180 0 10 50 0 0 0 20 0 0
power battery -900000 4000000
VDD_IN\t5000\t2000\t
thermal_zone0\t48000\tcpu-0-0
thermal_zone1\t3000\tvbat
@ 101.9"""  # the watch was ended here

LOOK = r"""
import os, pathlib, sys, time
time.sleep(2.5)
print(open("/proc/uptime").read().split()[0])
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        command = (process / "cmdline").read_text()
        if command.startswith("sh\0") and sys.argv[1] in command:
            print(sorted(os.sched_getaffinity(int(process.name))))
    except OSError:
        pass
"""
"""Prints the uptime, then the CPUs of each shell that runs a script with the given text."""


def test_the_looks_become_columns_and_the_last_half_look_is_left_out():
    assert parse_watch(LOOKS) == {
        "uptime_s": [100.5, 101.2],
        "load_average": [0.52, 0.6],
        "clock_khz": {"7": [2_800_000, 1_900_000]},
        "stolen": {"7": [None, 0.2]},
        "temperature_c": {"cpu": [36.5, 48.0]},
        "watts": {"battery": [1.8, 3.6], "VDD_IN": [None, 10.0]},
    }


def test_a_line_that_a_full_disk_cut_is_no_time_of_a_hypervisor():
    cut = "@ 5.0 0.1\nstat cpu7 100 0 10 50 0 0 0 0 0 0\n@ 6.0 0.1\nstat cpu7 180 0\n"
    assert parse_watch(cut)["stolen"] == {"7": [None, None]}


def test_a_device_that_shows_nothing_gives_its_load_only():
    assert parse_watch("") == {"uptime_s": [], "load_average": []}
    assert parse_watch("@ 5.0 0.1\n") == {"uptime_s": [5.0], "load_average": [0.1]}


def test_a_phones_thermal_service_gives_the_status_and_the_sensors_that_are_thermometers():
    text = (GIVEN / "android_thermal_pixel6.txt").read_text()
    seen = parse_watch(f"@ 5.0 0.1\n{text}\n", lambda look: Android.thermal(object.__new__(Android), look))
    assert seen["thermal_status"] == [0]
    assert set(seen["temperature_c"]) <= {
        "cpu",
        "gpu",
        "npu",
        "battery",
        "skin",
        "board",
        "modem",
        "wifi",
        "camera",
        "display",
    }
    assert all(-40 < celsius[0] < 100 for celsius in seen["temperature_c"].values())


def test_the_host_is_watched_at_least_once_a_second_and_off_the_timed_core():
    device = Host(load_profile("host"))
    (cpu,) = device.timing_cpus()
    completed, seen = device.run_watched((sys.executable, "-c", LOOK, f"kill -0 {os.getpid()} "), 60, (cpu,))
    uptime, *watching = completed.stdout.splitlines()
    assert watching
    for allowed in watching:
        assert set(json.loads(allowed)) <= os.sched_getaffinity(0) - {cpu}
    moments = seen["uptime_s"]
    assert len(moments) >= 3
    assert median(late - early for early, late in pairwise(moments)) < 1  # a busy machine delays single looks
    assert moments[-1] <= float(uptime) + 1
    assert set(seen.get("stolen", {})) <= {str(cpu)}
    device.release()


def test_no_watch_outlives_its_program():
    device = Host(load_profile("host"))
    device.run_watched((sys.executable, "-c", "import time; time.sleep(1)"), 60, device.timing_cpus())
    watching = subprocess.run(["pgrep", "-f", f"kill -0 {os.getpid()} "], capture_output=True, text=True, check=False)
    assert not watching.stdout
    device.release()


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [
        ([], "ffffffff"),
        ([7], "ffffff7f"),
        ([30, 31], "3fffffff"),
        ([64], "fffffffe" + 16 * "f"),
        ([95], "7" + 23 * "f"),
    ],
)
def test_the_mask_of_a_watch_has_all_cpus_but_the_timed_ones(cpus, mask):
    assert f"taskset {mask} sh -c " in pinned_watch(cpus, "true")


@pytest.mark.parametrize("cpus", [[0], []])
def test_the_shells_part_keeps_off_the_timed_cpus(cpus, tmp_path):
    (tmp_path / "pid").touch()
    script = f"{pinned_watch(cpus, '[ -e pid ]')}\nsleep 0.3; cat /proc/$watcher/status; echo watcher $watcher; rm pid"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    allowed = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("Cpus_allowed_list"))
    expected = os.sched_getaffinity(0) - set(cpus)
    listed = {
        cpu for part in allowed.split(",") for cpu in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)
    }
    assert listed == expected
    watcher = Path("/proc") / done.stdout.split()[-1]
    deadline = time.monotonic() + 5
    while watcher.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not watcher.exists()


@pytest.mark.parametrize("name", ["android", "board"])
def test_a_phone_or_board_is_watched_while_a_program_runs_on_it(name, request, profile_of):
    with opened(profile_of(request.getfixturevalue(name))) as device:
        device.prepare()
        completed, seen = device.run_watched(("sh", "-c", "sleep 2.5; echo done"), 60, device.timing_cpus())
        assert completed.stdout.strip() == "done"
        assert len(seen["uptime_s"]) >= 2
        assert seen["load_average"][0] is not None
        again = device.run(("echo", "alone"), 60)
        assert again.stdout.strip() == "alone"
        assert not device.check("ps -ef 2> /dev/null | grep -v grep | grep thermal_zone; true").strip()


def test_a_clock_that_falls_on_a_phone_while_runs_are_timed_marks_the_session(make_android, profile_of):
    phone = make_android(Scenario(cpus=PIXEL_3_CPUS))
    with opened(profile_of(phone)) as device:
        device.prepare()
        (cpu,) = device.timing_cpus()
        high = int((phone.folder / f"cpus/cpu{cpu}/cpufreq/scaling_cur_freq").read_text())
        timer = threading.Timer(2, phone.clock_cpu, (cpu, high // 2))
        timer.start()
        _, seen = device.run_watched(("sh", "-c", "sleep 4"), 60, (cpu,))
        timer.join()
    assert seen["clock_khz"][str(cpu)][0] == high
    assert seen["clock_khz"][str(cpu)][-1] == high // 2
    moments = [1_000_000_000 * seen["uptime_s"][place] for place in (0, -1)]
    session = {"watch": seen, "timed_uptime_ns": moments, "threads": 1}
    (mark,) = marks({0: session}, usual([session]))
    assert mark.kind == "throttled"
    assert f"the clock of CPU {cpu} fell" in mark.evidence
