"""A run that lost its device goes on where the device is now, and on no other device."""

import time

import pytest
import tiny
from profiles import of_kind

from edgekit.build.photos import photo_set
from edgekit.devices import shell
from edgekit.devices.adb import way
from edgekit.devices.profile import load_profile, readdressed
from edgekit.errors import FailureKind, UsageError
from edgekit.pipeline.plan import Plan, Sweep
from edgekit.pipeline.runs import resume_run, start_run
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe

TARGETS = ["tflite/xnnpack/fp32"]


def begin(profile, ledger, progress):
    plan = Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set())
    return start_run("profile", Sweep((plan,), (profile,), PROTOCOLS["emulated"], None), ledger, progress, seed=0)


def lose(device, profile, ledger, monkeypatch):
    """Begin a run whose device is lost after the first session; return the run."""
    with monkeypatch.context() as impatient:
        impatient.setattr(shell, "COMMAND_SECONDS", 3.0)
        impatient.setattr(shell, "RECONNECT_SECONDS", 1.0)
        impatient.setattr(way, "CONNECT_SECONDS", 2.0)
        run = begin(profile, ledger, lose_after_a_session(device, []))
    assert not ledger.measurements(run)
    return run


def lose_after_a_session(device, lines):
    """Return a progress function that cuts the device's link after the first session, for good."""

    def progress(line):
        lines.append((time.monotonic(), line))
        if "session 1 of" in line:
            device.cut_link()

    return progress


@pytest.mark.parametrize("where", ["android", "board"])
def test_a_lost_link_is_noticed_in_20_seconds_and_the_run_says_how_to_continue(
    where, request, profile_of, ledger, capsule
):
    device = request.getfixturevalue(where)
    lines = []
    run = begin(profile_of(device), ledger, lose_after_a_session(device, lines))
    cut = next(moment for moment, line in lines if "session 1 of" in line)
    noticed = next(moment for moment, line in lines if moment > cut)
    print(f"{where}: noticed after {noticed - cut:.1f} s")
    assert noticed - cut < 20
    assert {record.failure.kind for record in ledger.failures(run)} <= {FailureKind.link_lost, FailureKind.offline}
    assert lines[-1][1] == (
        "lab could not be reached to the end. 0 sessions of finished cells are kept in the ledger, and 1 of unfinished cells are "
        f"measured again. Continue: edgekit profile --resume {run}"
    )
    device.restore_link()
    assert resume_run("profile", ledger, lambda line: None, run) == run
    assert len(ledger.measurements(run)) == len(TARGETS)
    assert ledger.session_counts(run) == (len(TARGETS) * 2, 1)


def test_a_run_goes_on_at_the_devices_new_address(make_android, profile_of, ledger, capsule, monkeypatch):
    phone = make_android()
    run = lose(phone, profile_of(phone), ledger, monkeypatch)
    moved = make_android()  # the same serial number and build at another port, with another key
    said = []
    options = (f"port={moved.port}", f"key={moved.key}")
    assert resume_run("profile", ledger, said.append, run, options) == run
    assert f"lab: Pixel 3 over TCP (127.0.0.1:{moved.port})" in said
    assert len(ledger.measurements(run)) == len(TARGETS)


def test_a_run_does_not_go_on_with_another_device(make_android, profile_of, ledger, capsule, monkeypatch):
    phone = make_android()
    run = lose(phone, profile_of(phone), ledger, monkeypatch)
    other = make_android()
    other.set_property("ro.serialno", "LAB0000002")
    monkeypatch.setenv("EDGEKIT_LAB_PORT", str(other.port))
    monkeypatch.setenv("EDGEKIT_LAB_KEY", str(other.key))
    resume_run("profile", ledger, lambda line: None, run)
    assert not ledger.measurements(run)
    failures = [record.failure for record in ledger.failures(run, latest=True)]
    assert {failure.kind for failure in failures} == {FailureKind.unsupported_device}
    assert f"lab is not the device that run {run} began with" in failures[0].message
    assert other.left_running() == []
    monkeypatch.delenv("EDGEKIT_LAB_PORT")
    monkeypatch.delenv("EDGEKIT_LAB_KEY")
    phone.restore_link()
    resume_run("profile", ledger, lambda line: None, run)
    assert len(ledger.measurements(run)) == len(TARGETS)


def test_the_device_of_a_run_is_known_by_its_identity(ledger):
    """In the ledger a device has the name that reached it last. Older plans have no identities."""
    host = of_kind(load_profile("host"), protocol="emulated")
    run = begin(host, ledger, lambda line: None)
    (measured,) = ledger.measurements(run)
    plan = next(found.plan for found in ledger.runs() if found.id == run)
    ledger.restart_run(run, {key: value for key, value in plan.items() if key != "identities"})
    assert ledger.identify_device(run, "host", "another") == measured.device_id
    ledger.finish_run(run, "interrupted")
    ledger.record_device(measured.device_id, "here", {})  # as after `edgekit device add here`
    lines = []
    resume_run("profile", ledger, lines.append, run)
    assert len(ledger.measurements(run)) == 1
    assert not [line for line in lines if "session" in line]


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Write today's profile of the phone."""

    def write(**keys):
        text = "".join(f"{key}: {value}\n" for key, value in {"name": "phone", "kind": "android", **keys}.items())
        (tmp_path / "phone.yaml").write_text(f"{text}runs: [tflite]\n")
        monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
        return load_profile("phone")

    return write


def test_addresses_come_from_the_command_line_the_environment_and_todays_profile(named, monkeypatch):
    stored = of_kind(named(host="10.0.0.1", port=5001, serial="A"), max_temperature_c=40)
    named(host="10.0.0.2", key="/k", max_temperature_c=50)
    found = readdressed(stored)
    assert (found.host, found.port, found.serial, found.key) == ("10.0.0.2", 5001, "A", "/k")
    assert found.max_temperature_c == 40  # it is how the run measures
    monkeypatch.setenv("EDGEKIT_PHONE_HOST", "10.0.0.3")
    monkeypatch.setenv("EDGEKIT_PHONE_PORT", "5003")
    assert (readdressed(stored).host, readdressed(stored).port) == ("10.0.0.3", 5003)
    found = readdressed(stored, ("host=10.0.0.4", "serial=null"))
    assert (found.host, found.port, found.serial) == ("10.0.0.4", 5003, None)


def test_only_the_address_may_change(named):
    stored = named(host="10.0.0.1")
    with pytest.raises(UsageError, match="--device-option max_temperature_c would change how the run measures"):
        readdressed(stored, ("max_temperature_c=90",))
    with pytest.raises(UsageError, match="phone: port:"):
        readdressed(stored, ("port=many",))
    with pytest.raises(UsageError, match="--device-option host: write KEY=VALUE"):
        readdressed(stored, ("host",))


def test_an_option_for_several_devices_is_refused(ledger):
    profiles = (load_profile("pixel"), load_profile("jetson-nano"))
    sweep = Sweep((Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set()),), profiles, PROTOCOLS["emulated"], None)
    run = ledger.begin_run("profile", 0, {}, sweep.written())
    ledger.finish_run(run, "interrupted")
    with pytest.raises(UsageError, match="for one device, and that run has: pixel, jetson-nano"):
        resume_run("profile", ledger, lambda line: None, run, ("host=10.0.0.1",))
