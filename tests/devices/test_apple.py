"""Core ML on an iPhone that is attached to a Mac over SSH, as far as there is no Mac here; see tests/lab/mac.py."""

import pytest
import tiny
from lab.mac import phone
from profiles import of_kind

from edgekit.build.photos import photo_set
from edgekit.devices.apple import parse_phones, parse_pmset
from edgekit.devices.base import open_device, opened
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.pipeline import Plan, start_run
from edgekit.pipeline.plan import Sweep
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from edgekit.report.rows import rows_of
from edgekit.report.tables import markdown

TARGET = "coreml/-/fp16"
ONCE = PROTOCOLS["emulated"].model_copy(update={"sessions": 1})
"""A session takes half a minute: coremltools loads slowly, on the Mac and in the stand-in of its app."""


def deploy(profile, ledger):
    plan = Plan.of(load_recipe(*tiny.TINY), (TARGET,), photo_set())
    return start_run("deploy", Sweep((plan,), (profile,), ONCE, None), ledger, lambda line: None, seed=0)


@pytest.fixture
def mac_profile(mac, profile_of):
    """The profile of the lab's Mac, or of the phone that is attached to it."""

    def make(kind, **more):
        return of_kind(profile_of(mac), kind, name=f"lab-{kind}", runs=("coreml",), **more)

    return make


def test_an_iphone_is_measured_through_coremltools_and_its_outputs_are_compared(mac, mac_profile, ledger):
    mac.attach(phone("0000-1"), phone("0000-2", state="disconnected"))
    run = deploy(mac_profile("iphone", development_team="LABTEAM"), ledger)
    assert [failure.failure.message for failure in ledger.failures(run)] == []
    (one,) = ledger.measurements(run)
    conditions = one.conditions
    assert (conditions["model"], conditions["os_build"]) == ("iPhone 15 Pro", "iOS 18.1 (22B83)")
    assert (conditions["reached_by"], conditions["process_context"]) == ("MacBookPro18,3", "app")
    assert (conditions["runner"], conditions["compute_units"]) == ("coremltools", "all")
    assert conditions["compute_plan"]["CPUDevice"] == 1
    assert conditions["compute_plan"]["NeuralEngineDevice"] > 10
    assert conditions["parity_on_device"]["snr_db"] > 30
    assert [len(session.samples) for session in ledger.sessions(one.id)] == [3]
    assert "compute units all (preferred: 1 CPUDevice, " in markdown(rows_of(ledger, run))
    assert mac.left_running(seconds=15) == []


def test_without_a_development_team_it_says_what_to_give_before_xcode_is_asked(mac, mac_profile, ledger):
    mac.attach(phone("0000-1"))
    run = deploy(mac_profile("iphone"), ledger)
    (failure,) = (failure.failure for failure in ledger.failures(run))
    assert failure.kind == FailureKind.usage
    assert "EDGEKIT_LAB_IPHONE_DEVELOPMENT_TEAM" in failure.hint
    assert "modelrunner" not in mac.files(mac.root)  # where the app is built


@pytest.mark.parametrize(
    ("phones", "kind", "said"),
    [
        ((), FailureKind.offline, "No iPhone is connected. Connected: none"),
        ((phone("1", state="unavailable"),), FailureKind.offline, "No iPhone is connected"),
        (
            (phone("1"), phone("2", "Second")),
            FailureKind.several_devices,
            r"2 iPhones are connected: Lab Phone \(1\), Second \(2\)",
        ),
    ],
)
def test_no_phone_and_several_are_told_apart(mac, mac_profile, phones, kind, said):
    mac.attach(*phones)
    with pytest.raises(EdgekitError, match=said) as raised:
        open_device(mac_profile("iphone"))
    assert raised.value.failure.kind == kind


def test_one_of_several_phones_is_chosen_by_its_serial(mac, mac_profile):
    mac.attach(phone("1"), phone("2"))
    device = open_device(mac_profile("iphone").model_copy(update={"serial": "2"}))
    assert device.identify().serial == "2"
    device.release()


@pytest.mark.parametrize(
    ("xcrun", "said"),
    [
        ('echo "xcrun: error: unable to find utility" >&2; exit 72', "phones: xcrun: error: unable to find utility"),
        (":", "cannot be read: it is empty"),
        ('[ "$1" ] && echo \'{"error": {"code": 9}}\' > "$5"', 'cannot be read: {"error": {"code": 9}}'),
    ],
)
def test_what_devicectl_says_instead_of_phones_is_told_and_where_it_comes_from(mac, mac_profile, xcrun, said):
    mac.write("/usr/local/bin/xcrun", f"#!/bin/sh\n{xcrun}\n", mode=0o755)
    with pytest.raises(EdgekitError) as raised:
        open_device(mac_profile("iphone"))
    failure = raised.value.failure
    assert failure.kind == FailureKind.missing_extra
    assert failure.message.endswith(said)
    assert "Xcode's command line tools" in failure.hint


def test_of_devices_that_devicectl_knows_little_about_nothing_is_asked(mac, mac_profile):
    mac.attach({"identifier": "old", "connectionProperties": {"tunnelState": "connected"}}, phone("1"))
    with opened(mac_profile("iphone")) as device:
        assert device.identify().serial == "1"


@pytest.mark.parametrize("kind", ["mac", "iphone"])
def test_a_host_that_is_no_mac_is_refused(board, profile_of, kind):
    profile = profile_of(board).model_copy(update={"kind": kind, "runs": ("coreml",)})
    with pytest.raises(EdgekitError, match=r"lab is for a Mac, but the device at SSH \(.*\) runs Linux") as raised:
        open_device(profile)
    assert raised.value.failure.kind == FailureKind.unsupported_device


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("mac", {"serial": "LABMAC0002"}, "is for the serial 'LABMAC0002', but the device at .* has 'LABMAC0001'"),
        ("mac", {"model": "Mac14,2"}, "is for the model 'Mac14,2', but the device at .* has 'MacBookPro18,3'"),
        ("iphone", {"model": "iPhone 16"}, "is for the model 'iPhone 16', but the device at .* has 'iPhone 15 Pro'"),
    ],
)
def test_another_mac_and_another_phone_than_the_profiles_are_refused(mac, mac_profile, kind, more, said):
    mac.attach(phone("1"))
    with pytest.raises(EdgekitError, match=said) as raised:
        open_device(mac_profile(kind, **more))
    assert raised.value.failure.kind == FailureKind.unsupported_device


def test_what_a_silent_mac_does_not_tell_is_unknown(mac, mac_profile):
    mac.write("/usr/local/bin/sysctl", "#!/bin/sh\n", mode=0o755)
    with opened(mac_profile("mac")) as device:
        identity = device.identify()
        assert (identity.model, identity.facts["cpus"], identity.facts["memory_kb"]) == ("unknown",) * 3
        assert device.state()["load_average"] == "unknown"


def test_a_tool_would_run_on_the_mac_and_is_refused(mac, mac_profile):
    tool = {"kind": "benchmark_model", "backend": "tflite", "program": "/bin/true"}
    with pytest.raises(EdgekitError, match=r"names tools \(gpu\)\. They would run on the Mac") as raised:
        open_device(mac_profile("iphone", tools={"gpu": tool}))
    assert raised.value.failure.kind == FailureKind.usage


def test_a_mac_tells_who_and_how_it_is(mac, mac_profile):
    device = open_device(mac_profile("mac"))
    identity, state = device.identify(), device.state()
    assert (identity.serial, identity.model, identity.os_build) == (
        "LABMAC0001",
        "MacBookPro18,3",
        "macOS 15.1 (24B83)",
    )
    assert (identity.facts["soc"], identity.facts["memory_kb"]) == ("Apple M1 Pro", 16_777_216)
    assert (state["load_average"], state["speed_limit_percent"]) == (1.52, 100)
    assert state["battery"] == {"level": 85, "status": "charging", "plugged": "AC Power"}
    done = device.run(("sh", "-c", "echo out; exit 7"), 30)
    assert (done.exit_status, done.stdout) == (7, "out\n")
    device.release()


def test_a_mac_without_coremltools_names_the_command(mac, mac_profile, ledger):
    mac.run(f"rm -r {mac.root}/venv")
    run = deploy(mac_profile("mac"), ledger)
    (failure,) = (failure.failure for failure in ledger.failures(run))
    assert (failure.kind, failure.hint) == (FailureKind.missing_extra, "Run: edgekit device setup lab-mac")


@pytest.mark.parametrize("name", ["mac", "iphone"])
def test_without_a_mac_the_cell_says_so(name):
    with pytest.raises(EdgekitError, match="this is Linux") as raised:
        open_device(load_profile(name))
    failure = raised.value.failure
    assert (failure.kind, failure.kind.label) == (FailureKind.needs_mac, "needs a Mac")
    assert f"EDGEKIT_{name.upper()}_HOST" in failure.hint


def test_what_a_desktop_mac_does_not_tell_is_unknown():
    assert parse_pmset("Note: No thermal warning level has been recorded\nNow drawing from 'AC Power'\n") == {
        "speed_limit_percent": "unknown",
        "battery": {"level": "unknown", "status": "unknown", "plugged": "AC Power"},
    }
    assert parse_phones('{"result": {"devices": []}}') == []
