"""What a Jetson adds to a board's state, from outputs that real Jetsons printed, and on a board with such files.

``given/jetson`` has outputs of ``jetson_clocks --show`` that people published on GitHub and in blogs. Some are shortened by
CPUs and fan: a Nano with JetPack 4 (two people's), an AGX Orin with JetPack 5, an Orin Nano with JetPack 6 (two people's)
and 7. Where a file is called held, ``jetson_clocks`` had been run.
"""

from pathlib import Path

import pytest

from edgekit.comparison.conditions import CONDITIONS
from edgekit.devices.base import opened
from edgekit.devices.jetson import clock_rung, clock_state, clocks_name, mode_name, power_mode

GIVEN = Path(__file__).with_name("given") / "jetson"
NO_ROOT = "Error: Run this script(/usr/bin/jetson_clocks) as a root user\n"
XAVIER = """NV Fan Mode:quiet
NV Power Mode: MODE_15W_DESKTOP
7
NVPM ERROR: Error opening /sys/kernel/nvpmodel_emc_cap/emc_iso_cap: 13
"""
"""A Xavier's `nvpmodel -q`, run by an account without root."""
HWMON = "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
RAILS = {
    f"{HWMON}/{name}": f"{value}\n"
    for name, value in {
        **{"in1_label": "VDD_IN", "in1_input": "5016", "curr1_input": "1452"},
        **{"in2_label": "VDD_CPU_GPU_CV", "in2_input": "5008", "curr2_input": "344"},
        **{"in3_label": "VDD_SOC", "in3_input": "5008", "curr3_input": "hidden"},
        **{"in7_label": "sum of shunt voltages", "in7_input": "1200"},
    }.items()
}
"""An Orin Nano's, of JetPack 5 and later, in the kernel's own layout (Documentation/hwmon/ina3221.rst)."""
IIO = "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
OLD_RAILS = {
    f"{IIO}/{name}": f"{value}\n"
    for name, value in {
        **{
            "rail_name_0": "POM_5V_IN",
            "in_voltage0_input": "5080",
            "in_current0_input": "440",
            "in_power0_input": "2235",
        },
        **{
            "rail_name_1": "POM_5V_GPU",
            "in_voltage1_input": "5080",
            "in_current1_input": "16",
            "in_power1_input": "81",
        },
    }.items()
}
"""A Nano's of JetPack 4 (NVIDIA's power management guide for the Nano, "Software-Based Power Consumption Modeling")."""


def shown(name):
    return (GIVEN / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NV Power Mode: MAXN\n0\n", {"name": "MAXN", "id": 0}),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: 5W\n1\n", {"name": "5W", "id": 1}),
        ("NV Fan Mode:cool\nNV Power Mode: MODE_30W_4CORE\n5\n", {"name": "MODE_30W_4CORE", "id": 5}),
        (XAVIER, {"name": "MODE_15W_DESKTOP", "id": 7}),
        ("NV Power Mode: MAXN_SUPER\n2\n", {"name": "MAXN_SUPER", "id": 2}),
        ("NVPM ERROR: No such file\n", None),
    ],
)
def test_the_power_mode_has_a_name_and_a_number(text, expected):
    assert power_mode(text) == expected


@pytest.mark.parametrize(
    ("name", "expected", "gpu"),
    [
        ("jetpack4_nano", "off", (76_800_000, 921_600_000)),
        ("jetpack4_nano_held", "on", (921_600_000, 921_600_000)),
        ("jetpack5_agx_orin", "off", (306_000_000, 1_300_500_000)),
        ("jetpack6_orin_nano", "off", (306_000_000, 918_000_000)),
        ("jetpack6_orin_nano_held", "on", (1_020_000_000, 1_020_000_000)),
        ("jetpack7_orin_nano", "off", (306_000_000, 918_000_000)),
    ],
)
def test_held_clocks_are_told_from_free_ones_in_every_jetpack(name, expected, gpu):
    found = clock_state(shown(name))
    assert found["jetson_clocks"] == expected
    assert found["clocks"]["gpu"] == dict(zip(("min_hz", "max_hz"), gpu, strict=True))
    assert found["clocks"]["cpu"]["max_hz"] > 1_300_000_000
    assert set(found["clocks"]) == {"cpu", "gpu", "emc"}
    assert "jetson_clocks_unknown" not in found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("cpu1: Online=1 Governor=schedutil MinFreq=1728000", "cpu1: Online=1 Governor=schedutil MinFreq=729600"),
            "off",
        ),
        (
            ("cpu1: Online=1 Governor=schedutil MinFreq=1728000", "cpu1: Online=0 Governor=schedutil MinFreq=729600"),
            "on",
        ),
        (("GPU MinFreq=1020000000", "GPU MinFreq=306000000"), "off"),
        (("FreqOverride=1", "FreqOverride=0"), "off"),
        ((" FreqOverride=1", ""), "on"),  # as JetPack 7 prints it
        (("EMC", "XYZ"), "unknown"),
    ],
)
def test_one_free_clock_is_enough_and_a_missing_one_is_unknown(change, expected):
    text = shown("jetpack6_orin_nano_held")
    assert change[0] in text
    assert clock_state(text.replace(*change))["jetson_clocks"] == expected


def test_cpus_that_jetpack_7_lists_as_off_do_not_count():
    text = shown("jetpack6_orin_nano_held").replace("Online CPUs: 0-5", "Online CPUs: 0, Offline CPUs: 1-5")
    text = text.replace("cpu1: Online=1 Governor=schedutil MinFreq=1728000", "cpu1: Governor=schedutil MinFreq=729600")
    assert clock_state(text)["jetson_clocks"] == "on"


def test_without_root_free_clocks_are_off_and_held_ones_are_unknown_because_memory_is_hidden():
    limits = "cpu0: MinFreq={0} MaxFreq=1344000\nGPU MinFreq=306000000 MaxFreq=306000000 CurrentFreq=306000000\n"
    assert clock_state(NO_ROOT, limits.format(729600))["jetson_clocks"] == "off"
    held = clock_state(NO_ROOT, limits.format(1344000))
    assert held["jetson_clocks"] == "unknown"
    assert held["jetson_clocks_unknown"] == NO_ROOT.strip()
    assert held["clocks"]["gpu"]["max_hz"] == 306_000_000


@pytest.fixture
def jetson(make_board, profile_of):
    """Return the state of a board with NVIDIA's tools, or scripts that print what these printed, and with given files."""

    def state(mode, clocks, files):
        board = make_board(sys=files)
        for path, text in (("/usr/sbin/nvpmodel", mode), ("/usr/bin/jetson_clocks", clocks)):
            board.write(path, f"#!/bin/sh\ncat << 'END'\n{text}END\n", mode=0o755)
        with opened(profile_of(board)) as device:
            return device.state()

    return state


def test_a_board_reports_mode_clocks_and_rails_by_name(jetson):
    found = jetson("NV Power Mode: 25W\n1\n", shown("jetpack6_orin_nano"), RAILS)
    assert found["nvpmodel"] == {"name": "25W", "id": 1}
    assert found["jetson_clocks"] == "off"
    assert found["power_rails"] == {
        "VDD_IN": {"volts": 5.016, "amperes": 1.452, "watts": 7.283},
        "VDD_CPU_GPU_CV": {"volts": 5.008, "amperes": 0.344, "watts": 1.723},
        "VDD_SOC": {"volts": 5.008, "amperes": "unknown", "watts": "unknown"},
    }
    assert found["load_average"] >= 0
    assert found["clock_rung"] == "free-running, 25W"


def test_a_nano_of_jetpack_4_reports_the_same_and_what_needs_root_says_so(jetson):
    gpu = {f"class/devfreq/57000000.gpu/{name}": "921600000\n" for name in ("min_freq", "max_freq", "cur_freq")}
    found = jetson("NV Power Mode: MAXN\n0\n", NO_ROOT, {**OLD_RAILS, **gpu})
    assert found["power_rails"]["POM_5V_IN"] == {"volts": 5.08, "amperes": 0.44, "watts": 2.235}
    assert found["power_rails"]["POM_5V_GPU"]["watts"] == 0.081
    assert found["clocks"]["gpu"] == {"min_hz": 921_600_000, "max_hz": 921_600_000}
    assert found["jetson_clocks"] == "unknown"
    assert "as a root user" in found["jetson_clocks_unknown"]
    assert found["clock_rung"] == "unknown, MAXN"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"jetson_clocks": "on", "nvpmodel": {"name": "MAXN", "id": 0}}, "fixed, MAXN"),
        ({"jetson_clocks": "unknown", "nvpmodel": "unknown"}, "unknown"),
        ({"nvpmodel": {"name": "15W", "id": 2}}, "free-running, 15W"),
        ({}, "free-running"),
    ],
)
def test_results_of_other_modes_and_clocks_are_rows_of_their_own(found, expected):
    assert clock_rung(found, "free-running") == expected


def test_another_board_has_none_of_this(board, profile_of):
    with opened(profile_of(board)) as device:
        assert not {"nvpmodel", "jetson_clocks", "clocks", "power_rails"} & device.state().keys()


def test_states_of_older_ledgers_compare_with_new_ones():
    assert mode_name("NV Power Mode: MAXN 0") == mode_name({"name": "MAXN", "id": 0}) == "MAXN (0)"
    assert mode_name("unknown") == "unknown"
    assert clocks_name(shown("jetpack4_nano_held")) == "on"
    assert clocks_name("off") == "off"
    assert {"nvpmodel", "jetson_clocks", "gpu_clock"} <= set(CONDITIONS)
