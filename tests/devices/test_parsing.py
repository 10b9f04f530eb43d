"""What devices print, read without a device."""

import pytest

from edgekit.devices.android import parse_battery, parse_thermal
from edgekit.devices.cpus import parse_cpu_list
from edgekit.devices.linux import wheel_for
from edgekit.devices.profile import load_profile
from edgekit.devices.shell import reason
from edgekit.devices.thermal import thermal_state
from edgekit.errors import UsageError

THERMAL = """\
IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
 Temperature{mValue=29.9, mType=3, mName=skin, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
 Temperature{mValue=44.25, mType=0, mName=cpu0, mStatus=0}
 Temperature{mValue=37.1, mType=3, mName=skin, mStatus=1}
Current cooling devices from HAL:
 CoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  level: 87
  temperature: 284
"""


def hottest(text):
    return thermal_state(parse_thermal(text).sensors)["temperature_c"]


def test_the_thermal_service_is_read_as_it_is_now():
    assert (parse_thermal(THERMAL).status, hottest(THERMAL)) == (1, 44.25)
    assert hottest(THERMAL.partition("Current temperatures")[0]) == 29.9
    assert hottest(f"{THERMAL.partition(' Temperature{mValue=44')[0]}Current cooling devices from HAL:\n") == 29.9
    assert hottest(THERMAL.replace("44.25", "-")) == 37.1
    silent = parse_thermal("Can't find service: thermalservice\n")
    assert (silent.status, silent.sensors) == (None, ())


def test_the_battery_is_read_and_unknown_where_it_is_silent():
    assert parse_battery(BATTERY) == {"level": 87, "status": "charging", "plugged": "USB", "temperature_c": 28.4}
    assert set(parse_battery("").values()) == {"unknown"}
    assert parse_battery(BATTERY.replace("true", "false"))["plugged"] == "nothing"


def test_of_a_failed_command_the_reason_is_kept():
    pip = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left\n" + 20 * "\nWARNING: retrying"
    assert reason(pip) == pip.splitlines()[0]
    retried = "WARNING: Retrying (Retry(total={})) after connection broken by 'Temporary failure in name resolution'"
    offline = "\n".join([retried.format(1), retried.format(0), "ERROR: No matching distribution found for x"])
    assert reason(offline) == offline.partition("\n")[2]
    debian = "The virtual environment was not created successfully because ensurepip is not\navailable." + 300 * "."
    assert reason(debian) == debian


@pytest.mark.parametrize(("text", "cpus"), [("0-3,6", [0, 1, 2, 3, 6]), ("5", [5]), ("0-1\n", [0, 1])])
def test_a_list_of_cpus_is_read(text, cpus):
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("python", "glibc", "package"),
    [
        ((3, 11), (2, 36), "ai-edge-litert"),  # Raspberry Pi OS 12
        ((3, 10), (2, 35), "ai-edge-litert"),  # JetPack 6
        ((3, 8), (2, 31), "tflite-runtime"),  # JetPack 5
        ((3, 11), (2, 31), "tflite-runtime"),  # a new Python on an old system
        ((3, 6), (2, 27), None),  # Jetson Nano, JetPack 4
        ((3, 13), (2, 31), None),
    ],
)
def test_the_runtime_that_fits_python_and_c_library_is_chosen(python, glibc, package):
    found = wheel_for(python, glibc)
    assert found is None if package is None else package in found


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(monkeypatch):
    monkeypatch.setenv("EDGEKIT_JETSON_NANO_HOST", "10.0.0.7")
    monkeypatch.setenv("EDGEKIT_JETSON_NANO_PORT", "2222")
    assert (load_profile("jetson-nano").host, load_profile("jetson-nano").port) == ("10.0.0.7", 2222)
    assert load_profile("jetson-nano", ("host=10.0.0.8",)).host == "10.0.0.8"
    assert load_profile("raspberry-pi-5").host is None
    assert load_profile("pixel", ("serial=0123456",)).serial == "0123456"
    assert load_profile("pixel", ("serial='0123456'",)).serial == "0123456"
    assert load_profile("jetson-nano", ("host=null",)).host is None
    monkeypatch.setenv("EDGEKIT_JETSON_NANO_PORT", "none")
    with pytest.raises(UsageError, match="port"):
        load_profile("jetson-nano")
