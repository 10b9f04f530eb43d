"""Which CPU is the fastest. given/cpus.csv is from the report sched-ext/scx#1994 and from the boards' device trees."""

import csv
import itertools
import subprocess
from pathlib import Path

import pytest

from edgekit.devices.cpus import (
    allowed_cpus,
    clusters,
    cpu_features,
    parse_cpu_list,
    parse_siblings,
    parse_speeds,
    timing_cpus,
)
from edgekit.devices.host import CPUS, siblings, speeds
from edgekit.devices.scripts import SIBLINGS, SPEEDS
from edgekit.errors import EdgekitError, FailureKind

CAPACITY, FREQUENCY = "cpu_capacity", "cpufreq/cpuinfo_max_freq"
with (Path(__file__).parent / "given/cpus.csv").open() as opened:
    BOARDS = {board: list(rows) for board, rows in itertools.groupby(csv.DictReader(opened), lambda row: row["board"])}


def write_cpus(folder, cpus):
    """Write /sys/devices/system/cpu with CPU -> file -> text. None is a file that cannot be read."""
    for cpu, files in cpus.items():
        for file, text in files.items():
            path = folder / f"cpu{cpu}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if text is None else path.write_text(f"{text}\n")
    (folder / "cpufreq").mkdir(parents=True)


def read_through_a_shell(folder):
    script = SPEEDS.replace("/sys/devices/system/cpu", str(folder))
    return parse_speeds(
        subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    )


READERS = pytest.mark.parametrize("read", [speeds, read_through_a_shell])


@READERS
@pytest.mark.parametrize("board", BOARDS)
def test_the_fastest_cluster_of_a_board_is_found(board, read, tmp_path):
    cpus = {
        cpu: {CAPACITY: row["capacity"], FREQUENCY: row["max_khz"]}
        for row in BOARDS[board]
        for cpu in parse_cpu_list(row["cpus"])
    }
    write_cpus(tmp_path, cpus)
    fastest = [cpu for row in BOARDS[board] if row["fastest"] == "yes" for cpu in parse_cpu_list(row["cpus"])]
    assert timing_cpus(list(cpus), read(tmp_path), 1, "big", "it") == (fastest[-1],)
    assert timing_cpus(list(cpus), read(tmp_path), len(fastest), "big", "it") == tuple(fastest)
    assert set(timing_cpus(list(cpus), read(tmp_path), len(cpus), "fastest", "it")) == set(cpus)


@READERS
def test_a_file_that_is_missing_or_cannot_be_read_is_unknown(read, tmp_path):
    write_cpus(tmp_path, {0: {FREQUENCY: 1000}, 1: {FREQUENCY: None}, 2: {FREQUENCY: "busy"}, 3: {FREQUENCY: 0}})
    assert read(tmp_path) == {0: {FREQUENCY: 1000}}
    assert read(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("allowed", "known", "expected"),
    [
        ([0, 1], {}, 1),
        ([0, 1, 2, 3], {FREQUENCY: {0: 1800, 1: 1800, 2: 2800, 3: 2800}}, 3),
        ([0, 1], {FREQUENCY: {0: 2800, 1: 1800}}, 0),
        ([0, 1, 2], {FREQUENCY: {0: 1800, 1: 1800, 2: 1800, 3: 2800}}, 2),  # the fast one is not ours
        ([0, 1], {CAPACITY: {0: 1024, 1: 1024}, FREQUENCY: {0: 2800, 1: 1800}}, 0),  # equal: frequency decides
        ([0, 1, 2, 3], {CAPACITY: {0: 1024, 1: 1024}}, 3),  # of the others nothing is known
        ([0, 1], {CAPACITY: {0: 1024}, FREQUENCY: {0: 1000, 1: 2000}}, 1),
        ([0, 1], {FREQUENCY: {0: 1000, 1: 1000, 2: 3000}, CAPACITY: {1: 100}}, 1),
        ([], {}, None),
    ],
)
def test_the_large_core_is_chosen_by_what_is_known_of_all_allowed_cpus(allowed, known, expected):
    found = {}
    for file, values in known.items():
        for cpu, value in values.items():
            found.setdefault(cpu, {})[file] = value
    assert timing_cpus(allowed, found, 1, "big", "it") == (() if expected is None else (expected,))


PHONE = {cpu: {FREQUENCY: khz} for cpu, khz in enumerate([1700, 1700, 1700, 1700, 2200, 2200, 2800, 2800])}


@pytest.mark.parametrize(
    ("threads", "cores", "expected"),
    [(2, "big", (6, 7)), (1, "little", (3,)), (4, "little", (0, 1, 2, 3)), (4, "fastest", (4, 5, 6, 7))],
)
def test_threads_have_a_core_each_of_the_kind_that_was_asked_for(threads, cores, expected):
    assert timing_cpus(range(8), PHONE, threads, cores, "it") == expected


@pytest.mark.parametrize(
    ("threads", "cores", "message"),
    [
        (4, "big", "The protocol has 4 threads, and phone has 2 big cores for them."),
        (9, "fastest", "The protocol has 9 threads, and phone has 8 cores for them."),
    ],
)
def test_a_device_with_too_few_cores_is_no_device_for_the_protocol(threads, cores, message):
    with pytest.raises(EdgekitError) as error:
        timing_cpus(range(8), PHONE, threads, cores, "phone")
    assert (error.value.failure.kind, error.value.failure.message) == (FailureKind.unsupported_device, message)


@pytest.mark.parametrize(
    ("pairs", "threads", "expected"),
    [
        ("adjacent", 1, (7,)),
        ("adjacent", 2, (5, 7)),
        ("adjacent", 4, (1, 3, 5, 7)),
        ("adjacent", 5, (1, 3, 5, 6, 7)),
        ("apart", 2, (6, 7)),
    ],
)
def test_threads_share_a_core_only_if_there_are_too_few(pairs, threads, expected):
    listed = {cpu: f"{cpu & ~1}-{cpu | 1}" if pairs == "adjacent" else f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)}
    assert timing_cpus(range(8), {}, threads, "fastest", "it", listed) == expected


def test_the_cores_of_this_machine_are_read_alike_by_a_shell_and_by_python():
    printed = subprocess.run(["sh", "-c", SIBLINGS], capture_output=True, text=True, check=True).stdout
    assert parse_siblings(printed) == siblings(CPUS)


def test_equal_cores_are_never_little():
    with pytest.raises(EdgekitError, match="all CPUs of it are of one kind, or do not say"):
        timing_cpus(range(2), {}, 1, "little", "it")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cpus_allowed_list:\t0-5\n0,3-4\n", [0, 3, 4]),  # a Jetson TX2 in one of its power modes
        ("Cpus_allowed_list:\t4-7\n0-7\n", [4, 5, 6, 7]),
        ("Cpus_allowed_list:\t0-1\n", [0, 1]),
    ],
)
def test_a_cpu_that_is_off_is_not_timed_on(text, expected):
    assert allowed_cpus(text) == expected


def test_the_facts_of_a_device_name_the_unit_of_a_speed():
    assert clusters({}) == "unknown"
    assert clusters({0: {CAPACITY: 631, FREQUENCY: 1896000}}) == {
        "0": {"cpu_capacity": 631, "cpuinfo_max_freq": 1896000}
    }


def test_of_a_cpu_the_features_count_that_kernels_are_chosen_by():
    assert cpu_features("flags\t\t: fpu sse4_1 avx2 rdtscp avx512_vnni") == ["sse4_1", "avx2", "avx512_vnni"]
    assert cpu_features("Features : fp asimd asimddp i8mm") == ["asimd", "asimddp", "i8mm"]
    assert cpu_features("flags : fpu") == []
    assert cpu_features("") == "unknown"
