"""Core ML on an iPhone that is attached to a Mac over SSH, as far as there is no Mac here; see tests/lab/mac.py."""

import pytest
import tiny
from lab.mac import phone

from edgekit.devices.apple import parse_phones, parse_pmset
from edgekit.devices.base import open_device
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.protocol import PROTOCOLS
from edgekit.photos import photo_set
from edgekit.pipeline import Plan, start_run
from edgekit.pipeline.plan import Sweep
from edgekit.recipe import load_recipe
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
        return profile_of(mac, **more).model_copy(update={"name": f"lab-{kind}", "kind": kind, "runs": ("coreml",)})

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
        ((), FailureKind.offline, "No iPhone is connected; connected are: none"),
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


def test_a_tool_would_run_on_the_mac_and_is_refused(mac, mac_profile):
    tool = {"kind": "benchmark_model", "backend": "tflite", "program": "/bin/true"}
    with pytest.raises(EdgekitError, match=r"names tools \(gpu\): they would run on the Mac") as raised:
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
    assert (failure.kind, failure.hint) == (FailureKind.missing_extra, "Run: edgekit devices setup lab-mac")


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
