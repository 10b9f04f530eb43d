"""Which sensors are thermometers. The inputs in given/ are from public bug reports."""

import csv
import subprocess
from pathlib import Path

import pytest

from edgekit.devices.android import parse_thermal
from edgekit.devices.host import temperatures
from edgekit.devices.profile import load_profile
from edgekit.devices.scripts import TEMPERATURES
from edgekit.devices.thermal import linux_sensor, parse_zones, thermal_state
from edgekit.errors import UsageError

GIVEN = Path(__file__).parent / "given"
"""android_thermal_pixel6.txt: google/skia-buildbot. jetson_nano_thermal_zones.csv: balena-os/balena-jetson#142."""


def write_zones(folder, zones):
    """Write /sys/class/thermal with zone -> (type, temp). A reading of None is a file that cannot be read."""
    for zone, (zone_type, reading) in zones.items():
        (folder / zone).mkdir()
        (folder / zone / "type").write_text(f"{zone_type}\n")
        if reading is None:
            (folder / zone / "temp").mkdir()
        else:
            (folder / zone / "temp").write_text(f"{reading}\n")


def read_on_the_host(folder):
    return temperatures(folder)


def read_through_a_shell(shell):
    def read(folder):
        script = TEMPERATURES.replace("/sys/class/thermal", str(folder))
        done = subprocess.run([*shell, "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return thermal_state(parse_zones(done.stdout))

    return read


READERS = pytest.mark.parametrize(
    "read", [read_on_the_host, read_through_a_shell(["sh"]), read_through_a_shell(["bash"])], ids=["host", "sh", "bash"]
)


def test_a_pixel_6s_currents_and_percentages_are_no_temperatures():
    state = thermal_state(parse_thermal((GIVEN / "android_thermal_pixel6.txt").read_text()).sensors)
    assert state["temperature_c"] == 27.5
    assert state["temperatures"]["skin"] == {"sensor": "VIRTUAL-SKIN", "celsius": 24.8}
    assert set(state["temperatures"]) == {"cpu", "gpu", "skin", "battery", "npu"}


@READERS
def test_a_jetson_nanos_power_chip_is_no_thermometer(read, tmp_path):
    with (GIVEN / "jetson_nano_thermal_zones.csv").open() as file:
        write_zones(tmp_path, {row["zone"]: (row["type"], row["temp"]) for row in csv.DictReader(file)})
    state = read(tmp_path)
    assert state["temperature_c"] == 43.5
    assert state["temperatures"]["cpu"] == {"sensor": "CPU-therm", "celsius": 41.0}


@READERS
def test_a_zone_that_cannot_be_read_hides_none_of_the_others(read, tmp_path):
    assert read(tmp_path) == {"temperature_c": "unknown", "temperatures": {}}
    zones = {
        "thermal_zone0": ("iwlwifi_1", None),
        "thermal_zone1": ("acpitz", "No data available"),
        "thermal_zone2": ("x86 pkg temp", "55500"),
        "thermal_zone3": ("CV0-therm", "-256000"),
        "thermal_zone4": ("acpitz", ""),
    }
    write_zones(tmp_path, zones)
    (tmp_path / "thermal_zone5").mkdir()
    assert read(tmp_path)["temperature_c"] == 55.5


@pytest.mark.parametrize(
    ("zone_type", "reading", "celsius"),
    [
        ("cpu-thermal", "47", 47),  # a kernel that gives whole degrees
        ("cpu-thermal", "47200", 47.2),
        ("cpu-thermal", "-5000", -5),
        ("CPU-therm", "-256000", None),
        ("CPU-therm", "-256", None),
        ("gpu", "0", None),
        ("cpu", "255000", None),
        ("cpu", "284", None),  # tenths or thousandths: nothing says which
        ("PMIC-Die", "100000", None),
        ("pm8998_tz", "37000", None),
        ("INT3400 Thermal", "20000", None),
        ("soc", "97", None),
        ("vbat", "3900", None),
        ("ocp_gpu", "11900", None),
        ("soc-thermal", "41000", 41),
    ],
)
def test_a_linux_zone_is_believed_if_its_type_and_value_are_those_of_a_thermometer(zone_type, reading, celsius):
    sensor = linux_sensor("thermal_zone0", zone_type, reading)
    assert (sensor and sensor.celsius) == celsius


@pytest.mark.parametrize(
    ("zone_type", "sensor_type"),
    [("GPU-therm", "gpu"), ("x86_pkg_temp", "cpu"), ("BIG", "cpu"), ("battery", "battery"), ("acpitz", "board")],
)
def test_the_zones_type_says_what_it_measures(zone_type, sensor_type):
    assert linux_sensor("thermal_zone0", zone_type, "40000").type == sensor_type


def test_the_limit_of_a_type_that_no_sensor_has_is_refused():
    assert load_profile("pixel6").max_temperature_c == {"skin": 37, "cpu": 60}
    assert load_profile("pixel6", ("max_temperature_c=45",)).max_temperature_c == 45
    with pytest.raises(UsageError, match="max_temperature_c"):
        load_profile("pixel6", ("max_temperature_c={skni: 37}",))
    with pytest.raises(UsageError, match="max_temperature_c"):
        load_profile("pixel6", ("max_temperature_c={}",))
