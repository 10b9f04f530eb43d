"""What `edgekit device list` finds without a profile, and what `edgekit device add` writes."""

import errno
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from edgekit.devices.adding import _clusters, added_profile, sensible_limits
from edgekit.devices.android import is_emulator, parse_thermal
from edgekit.devices.base import opened
from edgekit.devices.discovery import attached, ssh_hosts
from edgekit.devices.listing import list_devices
from edgekit.devices.profile import load_profile
from edgekit.devices.thermal import Sensor
from edgekit.errors import EdgekitError, FailureKind, UsageError

EDGEKIT = Path(sys.executable).with_name("edgekit")


@pytest.fixture(autouse=True)
def own_profiles(tmp_path, monkeypatch):
    """The user's folder of profiles, which is empty; and no adb server unless a test starts one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:1")
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return tmp_path / "config/edgekit/device_profiles"


def test_attached_phones_are_listed_with_their_facts_and_the_profiles_that_reach_them(make_android, make_adb_server):
    first, second = make_android(), make_android()
    second.set_property("ro.serialno", "LAB0000002")
    second.set_property("ro.product.model", "SM-G973F")
    make_adb_server(first, second)
    document = list_devices()
    by_model = {device.model: device for device in document.attached}
    pixel, other = by_model["Pixel 3"], by_model["SM-G973F"]
    assert (pixel.serial, pixel.connection, pixel.state) == (f"127.0.0.1:{first.port}", "adb server", "reachable")
    assert (pixel.soc, pixel.cpus, pixel.system) == ("SDM845", pixel.cpus, "Android 12 (API 31)")
    assert pixel.cpus >= 1
    space = shutil.disk_usage(first.path("/data"))
    assert pixel.free_bytes == pytest.approx(space.free, rel=0.05)
    assert (other.serial, other.profiles) == (f"127.0.0.1:{second.port}", ())
    states = {line.name: line.state for line in document.devices}
    assert states["pixel"] == FailureKind.several_devices.label  # each of the two could be meant


def test_a_phone_that_is_not_allowed_is_listed_with_what_to_do(make_android, make_adb_server):
    phone = make_android(dialog="never")
    server = make_adb_server(keys=())
    server.connect(phone, wait=False)
    (found,) = attached({})
    assert (found.state, found.model) == (FailureKind.unauthorized.label, None)
    assert found.problem.startswith("phone cannot be reached over adb server")
    assert "Look at the phone" in found.hint


def test_the_table_says_how_to_add_a_phone_and_a_board(make_android, make_adb_server, tmp_path):
    phone = make_android()
    phone.set_property("ro.product.model", "SM-G973F")
    make_adb_server(phone)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host nano orin *.example\n  User nvidia\nHost * !x\n  Port 22\n")
    table = run("device", "list").stdout
    assert f"edgekit device add --serial 127.0.0.1:{phone.port}" in " ".join(table.split())
    assert "nano, orin. They were not tried." in " ".join(table.split())
    listed = json.loads(run("device", "list", "--json").stdout)
    assert [device["model"] for device in listed["attached"]] == ["SM-G973F"]
    assert listed["ssh_hosts"] == ["nano", "orin"]


def test_hosts_that_a_profile_has_are_not_named_again(tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host nano\nHost orin\n")
    assert ssh_hosts(["nano"]) == ["orin"]
    (tmp_path / ".ssh/config").write_bytes(b"Host \xff\n")
    assert ssh_hosts([]) == []


@pytest.mark.parametrize(("address", "found"), [("192.168.55.100", ["192.168.55.1"]), ("192.168.56.100", [])])
def test_a_jetson_on_a_usb_cable_is_named_and_not_connected_to(address, found, monkeypatch):
    own = namedtuple("Address", "address")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"usb0": [own("0a:00:27:00:00:00"), own(address)]})
    boards = [device for device in attached({}) if device.kind == "linux"]
    assert [board.serial for board in boards] == found
    assert all(board.state == "not tried" and "edgekit device add --host" in board.hint for board in boards)


def test_one_attached_phone_needs_no_yaml(android, make_adb_server, own_profiles):
    server = make_adb_server(android)
    before = android.state()
    done = run("device", "add")
    file = own_profiles / "pixel-3.yaml"
    assert f"{file}: written. It is Pixel 3, Android 12 (API 31)." in done.stdout
    assert "Next: edgekit device check pixel-3" in done.stdout
    text = file.read_text()
    for said in (
        f"over adb server 127.0.0.1:{server.port}",
        "# SoC: SDM845",
        "# thermometer: skin (skin), 31.9 degrees",
    ):
        assert said in text
    assert YAML(typ="safe").load(text) == {
        "name": "pixel-3",
        "description": "Pixel 3, Android 12 (API 31)",
        "kind": "android",
        "serial": "LAB0000001",
        "host": "127.0.0.1",
        "port": android.port,
        "runs": ["tflite", "executorch"],
        "model": "Pixel 3",
        "max_temperature_c": {"skin": 35.0, "cpu": 60.0},  # it slows down by the skin from 37 degrees on
    }
    profile = load_profile("pixel-3")
    assert (profile.host, profile.port, profile.serial) == ("127.0.0.1", android.port, "LAB0000001")
    again = run("device", "add", status=2)
    assert "pixel-3 is a profile for this device already" in again.stderr
    assert android.state() == before
    assert android.files("/data/local/tmp") == []
    assert android.left_running() == []


def test_a_board_is_added_by_its_host(board, own_profiles):
    keys = {"host": board.host, "port": board.port, "user": board.user, "key": str(board.key)}
    options = [f"--device-option={key}={value}" for key, value in {**keys, "known_hosts": board.known_hosts}.items()]
    run("device", "add", "my-board", "--host", board.host, *options[1:])
    profile = load_profile("my-board")
    assert {key: getattr(profile, key) for key in keys} == keys
    assert (profile.kind, profile.max_temperature_c) == ("linux", {"cpu": 65.0})
    assert "# thermometer: cpu-thermal (cpu)" in (own_profiles / "my-board.yaml").read_text()


def test_an_emulator_is_added_and_recorded_as_what_it_is(android, make_adb_server, tmp_path):
    android.set_property("ro.boot.qemu", "1")
    make_adb_server(android)
    profile, _ = added_profile({"kind": "android"}, "emu", tmp_path / "emu.yaml")
    assert profile.emulated
    assert attached({})[0].emulated


@pytest.mark.parametrize(
    ("properties", "emulated"),
    [
        ({"ro.hardware": "ranchu", "ro.product.model": "sdk_gphone64_x86_64"}, True),
        ({"ro.kernel.qemu": "1"}, True),
        ({"ro.boot.qemu": "1"}, True),
        ({"ro.hardware": "cutf_cvm"}, True),
        ({"ro.hardware": "vbox86"}, True),
        ({"ro.build.characteristics": "nosdcard,emulator"}, True),
        ({"ro.hardware": "blueline", "ro.boot.qemu": "0", "ro.build.characteristics": "nosdcard"}, False),
        ({}, False),
    ],
)
def test_virtual_devices_are_told_from_phones(properties, emulated):
    assert is_emulator(properties) == emulated


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["My Phone"], "write a name: a-z"),
        (["x", "--device-option", "prot=1"], "Profiles have no key prot"),
        (["x", "--device-option", "port=many"], "port: Input should be a valid integer"),
        (["pixel"], "There is a device pixel already"),
        (["x", "--output", "y.yaml"], "Call the file x.yaml"),
        (["x", "--device-option", "port"], "write KEY=VALUE"),
        (["x", "--device-option", "name=y"], "edgekit writes name itself"),
        (["x", "--device-option", "kind=mac"], "not for the kind mac"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(arguments, said, own_profiles):
    done = run("device", "add", *arguments, status=2)
    assert said in " ".join(done.stderr.split())
    assert not own_profiles.exists()


def test_a_phone_that_the_environment_names_is_reached_again_without_it(android, make_adb_server, own_profiles):
    server = make_adb_server(android)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ANDROID_SERIAL", server.connect(android))
        run("device", "add", "named")
    profile = load_profile("named")
    assert (profile.serial, profile.host, profile.port) == ("LAB0000001", android.host, android.port)


def test_the_users_own_limit_stays(android, make_adb_server, tmp_path):
    make_adb_server(android)
    profile, _ = added_profile({"kind": "android", "max_temperature_c": "33"}, "mine", tmp_path / "mine.yaml")
    assert profile.max_temperature_c == 33


def test_the_file_is_fit_for_any_model_and_any_number_of_cpus(make_android, make_adb_server, tmp_path):
    phone = make_android()
    model = '小米 12/Pro #1: "x"'
    phone.set_property("ro.product.model", model)
    phone.set_property("ro.serialno", "0123456789")
    make_adb_server(phone)
    profile, _ = added_profile({"kind": "android"}, None, tmp_path / "12-pro-1-x.yaml")
    assert (profile.model, profile.serial) == (model, "0123456789")
    with opened(profile) as device:
        assert device.identify().serial == "0123456789"
    clusters = {str(cpu): {"cpuinfo_max_freq": 2000 if cpu < 40 else 3000} for cpu in range(64) if cpu != 50}
    assert _clusters({"clusters": clusters}) == "0-39 (2000 kHz); 40-49,51-63 (3000 kHz)"


def test_a_file_that_exists_is_not_overwritten(android, make_adb_server, tmp_path):
    make_adb_server(android)
    (tmp_path / "mine.yaml").write_text("keep\n")
    with pytest.raises(UsageError, match="There is a file"):
        added_profile({"kind": "android"}, "mine", tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "keep\n"


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(android, make_adb_server, tmp_path, monkeypatch):
    make_adb_server(android)

    def full(self, text, **_):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match=r"mine.yaml cannot be written: No space left on device"):
        added_profile({"kind": "android"}, "mine", tmp_path / "mine.yaml")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_cannot_be_reached_is_an_error_and_no_file(own_profiles):
    with pytest.raises(EdgekitError, match="new-phone cannot be reached over USB"):
        added_profile({"kind": "android", "serial": "none"}, "new-phone", None)
    assert not own_profiles.exists()


CPU, SKIN, BATTERY = Sensor("cpu", "CPU0", 40), Sensor("skin", "VIRTUAL-SKIN", 30), Sensor("battery", "battery", 29)


@pytest.mark.parametrize(
    ("kind", "sensors", "throttling", "limits"),
    [
        ("android", [CPU, SKIN, BATTERY], [Sensor("skin", "VIRTUAL-SKIN", 39)], {"skin": 37, "cpu": 60}),
        ("android", [CPU, SKIN, BATTERY], [Sensor("skin", "VIRTUAL-SKIN", 36)], {"skin": 34, "cpu": 60}),
        ("android", [BATTERY], [], {"battery": 36}),
        ("android", [], [], {}),
        ("linux", [CPU], [Sensor("cpu", "cpu-thermal", 70)], {"cpu": 60}),
        ("linux", [CPU], [Sensor("cpu", "cpu-thermal", 99)], {"cpu": 65}),
        ("linux", [Sensor("board", "iio", 40)], [], {}),
    ],
)
def test_the_limit_is_below_what_the_device_slows_down_at(kind, sensors, throttling, limits):
    assert sensible_limits(kind, sensors, throttling) == limits


def test_thresholds_of_the_thermal_service_are_read():
    """In the format of Android's ThermalManagerService. NaN is a severity without a threshold; type 6 is volts, not degrees."""
    text = """Temperature static thresholds from HAL:
	TemperatureThreshold{mType=3, mName=VIRTUAL-SKIN, mHotThrottlingThresholds=[NaN, 39.0, 43.0, 45.0, 46.5, 52.0, 55.0], mColdThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, NaN]}
	TemperatureThreshold{mType=2, mName=battery, mHotThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, 60.0], mColdThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, NaN]}
	TemperatureThreshold{mType=6, mName=vbat, mHotThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, 2.7], mColdThrottlingThresholds=[NaN]}
	TemperatureThreshold{mType=0, mName=BIG, mHotThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, NaN], mColdThrottlingThresholds=[NaN]}
"""  # noqa: E501
    assert parse_thermal(text).throttling_from == (
        Sensor("skin", "VIRTUAL-SKIN", 39.0),
        Sensor("battery", "battery", 60.0),
    )


def run(*arguments, status=0):
    done = subprocess.run([EDGEKIT, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done
