"""Recipe -> artifact -> phone or board -> ledger, over the real daemons."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny

from edgekit.build.photos import photo_set
from edgekit.devices import shell
from edgekit.devices.adb import way
from edgekit.devices.base import open_device, opened
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure import gate
from edgekit.pipeline import Plan, build_artifacts, start_run
from edgekit.pipeline.plan import Sweep
from edgekit.pipeline.turns import timing
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from edgekit.runners import infer

TARGETS = ("tflite/xnnpack/fp32", "executorch/xnnpack/fp32")


def plan():
    return Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set())


def deploy(profile, ledger, progress=lambda line: None):
    sweep = Sweep((plan(),), (profile,), PROTOCOLS["emulated"], None)
    return start_run("deploy", sweep, ledger, progress, seed=0)


@pytest.mark.parametrize("where", ["android", "board"])
def test_a_second_deploy_sends_nothing_but_commands_and_the_device_is_left_as_found(
    where, request, profile_of, ledger, capsule
):
    there = request.getfixturevalue(where)
    before = there.state() if where == "android" else None
    spent = []
    for _ in range(2):
        sent = there.link.sent
        run = deploy(profile_of(there), ledger)
        spent.append(there.link.sent - sent)
        assert ledger.failures(run) == []
        assert {one.target for one in ledger.measurements(run)} == set(TARGETS)
    assert spent[0] > 20_000_000
    assert spent[1] < 200_000
    for measurement in ledger.measurements(run):
        conditions = measurement.conditions
        assert (conditions["runner"], conditions["emulated"]) == ("native", False)
        assert conditions["parity_on_device"]["snr_db"] > 80
        assert conditions["machine"] == "x86_64"
        assert [len(session.samples) for session in ledger.sessions(measurement.id)] == [3, 3]
    if before is not None:
        assert conditions["before"]["clock_rung"] == "fixed-performance"
        assert conditions["before"]["battery"]["plugged"] == "USB"
        assert there.state() == before
        assert any("fixed_performance=1" in change for change in there.changes())
    assert there.left_running() == []


@pytest.mark.parametrize("where", ["android_arm64", pytest.param("board_arm64", marks=pytest.mark.slow)])
def test_an_emulated_arm64_device_computes_what_this_machine_does(
    where, request, profile_of, ledger, capsule_arm64, tmp_path
):
    there = request.getfixturevalue(where)
    prepared, built = build_artifacts(plan(), lambda line: None, tmp_path)
    profile = profile_of(there)
    image = np.load(prepared.folder / "parity.npz")["image"][:1]
    device = open_device(profile)
    try:
        for one in built:
            layout = one.artifact.manifest.inputs[0].layout
            question = np.ascontiguousarray(image.transpose(0, 2, 3, 1) if layout == "NHWC" else image)
            question.tofile(tmp_path / f"{layout}.bin")
            output = device.scratch("output.bin")
            arguments = ("--input", device.push(tmp_path / f"{layout}.bin"), "--output", output)
            runner = device.runner(one.target.backend)
            done = device.run([*runner, "--model", device.push(one.artifact.path), *arguments], 120)
            assert done.exit_status == 0, done.stdout + done.stderr
            device.pull(output, tmp_path / "answer.bin")
            answer, (here,) = np.fromfile(tmp_path / "answer.bin", np.float32), infer(one.artifact.path, [question])
            if one.target.backend == "tflite":
                assert answer.tobytes() == here.tobytes()
            else:
                np.testing.assert_allclose(answer, here[0], atol=1e-5)
    finally:
        device.release()
    run = deploy(profile, ledger)
    assert [failure.failure.message for failure in ledger.failures(run)] == []
    for measurement in ledger.measurements(run):
        assert (measurement.conditions["emulated"], measurement.conditions["machine"]) == (True, "aarch64")


def test_a_link_that_breaks_in_the_middle_ends_its_cell_and_the_sweep_goes_on(
    android, profile_of, ledger, capsule, monkeypatch
):
    deploy(profile_of(android), ledger)  # everything is there
    was_cut = []

    def progress(line):
        """Cut the link after the first session, and restore it at the next line, which reports the loss."""
        if "session 1 of" in line and not was_cut:
            was_cut.append(line)
            android.cut_link()
        elif was_cut:
            android.restore_link()

    with monkeypatch.context() as impatient:
        impatient.setattr(shell, "COMMAND_SECONDS", 3.0)
        impatient.setattr(shell, "RECONNECT_SECONDS", 2.0)
        run = deploy(profile_of(android), ledger, progress)
    failures = [failure.failure for failure in ledger.failures(run)]
    assert failures
    assert {failure.kind for failure in failures} <= {FailureKind.link_lost, FailureKind.offline}, failures
    again = deploy(profile_of(android), ledger)
    assert ledger.failures(again) == []
    assert android.left_running() == []


def test_a_sweep_goes_on_with_the_next_device_where_the_first_ones_link_is_cut(
    android, board, profile_of, ledger, capsule, impatient, monkeypatch
):
    monkeypatch.setattr(way, "CONNECT_SECONDS", 1.0)
    before = android.state()
    phone, second = profile_of(android), profile_of(board).model_copy(update={"name": "second"})
    only = Plan.of(load_recipe(*tiny.TINY), TARGETS[:1], photo_set())
    android.link.cut_after(5_000_000)  # in the middle of the capsule
    sweep = Sweep((only,), (phone, second), PROTOCOLS["emulated"], None)
    run = start_run("deploy", sweep, ledger, lambda line: None, seed=0)
    assert [(one.device, one.failure.kind) for one in ledger.failures(run)] == [("lab", FailureKind.link_lost)]
    assert [one.device_name for one in ledger.measurements(run)] == ["second"]
    assert board.left_running() == []
    assert android.state() != before  # it could not be reached any more
    android.restore_link()
    with opened(phone) as device:
        assert device.restore()
        assert android.files(f"{device.root}/work") == []
    assert android.state() == before
    assert android.left_running() == []


def test_an_interrupt_leaves_the_phone_as_it_was_found(android, profile_of, tmp_path, capsule):
    before = android.state()
    (tmp_path / "lab.yaml").write_text(profile_of(android).model_dump_json(exclude_none=True))
    command = [
        "deploy",
        *tiny.OPTIONS,
        "--device",
        tmp_path / "lab.yaml",
        "--protocol",
        "1t-big",
        "--targets",
        TARGETS[0],
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stderr:
        if "session 2 of 6" in line:
            assert android.state()["fixed_performance"] == "1"
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert android.state() == before
    assert android.left_running() == []


def test_a_phone_that_stays_hot_is_given_up(android, profile_of, ledger, capsule, monkeypatch):
    monkeypatch.setattr(gate, "GATE_SECONDS", 1.0)
    android.heat(44)
    run = deploy(profile_of(android), ledger)
    assert {failure.failure.kind for failure in ledger.failures(run)} == {FailureKind.thermal_gate_timeout}
    assert ledger.measurements(run) == []
    assert android.state()["fixed_performance"] == "0"


def test_a_phone_whose_owner_says_nothing_is_unauthorised(make_android, profile_of, tmp_path, impatient, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # where Android's own key is missing, and is made
    phone = make_android(dialog="never")
    profile = profile_of(phone).model_copy(update={"key": None})
    with pytest.raises(EdgekitError, match="not allowed") as raised:
        open_device(profile)
    assert raised.value.failure.kind == FailureKind.unauthorized
    assert "Look at the phone" in raised.value.failure.hint
    assert (tmp_path / ".android/adbkey.pub").read_text().endswith("\n")
    assert (tmp_path / ".android/adbkey").stat().st_mode & 0o777 == 0o600
    assert {file.name for file in (tmp_path / ".android").iterdir()} == {"adbkey", "adbkey.pub"}
    phone.dialog = "always"
    open_device(profile).release()


def test_a_phone_that_two_profiles_reach_is_measured_once_under_its_models(
    android, profile_of, tmp_path, monkeypatch, capsys
):
    from edgekit.cli.profile import _profiles

    for name, model in (("any", None), ("its-own", "Pixel 3"), ("other", "Pixel 4")):
        profile = profile_of(android, model=model).model_copy(update={"name": name})
        (tmp_path / f"{name}.yaml").write_text(profile.model_dump_json(exclude_none=True))
    files = {name: tmp_path / f"{name}.yaml" for name in ("any", "its-own", "other")}
    monkeypatch.setattr("edgekit.devices.profile.known_profiles", lambda: files)
    assert [profile.name for profile in _profiles([], ())] == ["its-own"]
    told = capsys.readouterr().err
    assert "any: skipped: it is the device of its-own" in told
    assert "other: skipped: device not supported" in told


def test_a_phone_of_another_model_is_refused(android, profile_of):
    with pytest.raises(EdgekitError, match=r"lab is for another model\. The phone at .* is a Pixel 3"):
        open_device(profile_of(android, model="Pixel 4"))


def test_a_phone_of_another_serial_is_refused(android, profile_of):
    with pytest.raises(EdgekitError, match="has the serial LAB0000001, and lab is for LAB0000002") as raised:
        open_device(profile_of(android, serial="LAB0000002"))
    assert raised.value.failure.kind == FailureKind.unsupported_device
    open_device(profile_of(android, serial="LAB0000001")).release()


def test_the_environment_names_a_phone_where_the_profile_does_not(android, profile_of, monkeypatch):
    profile = profile_of(android)
    monkeypatch.setenv("ANDROID_SERIAL", "somebody-elses")
    open_device(profile).release()  # the profile has a host
    anywhere = profile.model_copy(update={"host": None, "port": None})
    with pytest.raises(EdgekitError, match=r"USB \(somebody-elses\)"):
        open_device(anywhere)
    monkeypatch.setenv("ANDROID_SERIAL", f"{android.host}:{android.port}")
    open_device(anywhere).release()
    monkeypatch.setenv("ANDROID_SERIAL", "127.0.0.1:0")
    with pytest.raises(EdgekitError, match=r"USB \(127.0.0.1:0\)"):
        open_device(anywhere)
    with pytest.raises(EdgekitError, match=r"USB \(its-own\)"):
        open_device(anywhere.model_copy(update={"serial": "its-own"}))


def test_a_board_whose_host_key_is_unknown_or_has_changed_is_refused(board, profile_of, tmp_path):
    (tmp_path / "empty").write_text("")
    for known, said, hint in (
        (tmp_path / "empty", "is not known", f"ssh -p {board.port} board@127.0.0.1"),
        (None, "is not the one that is known", f"ssh-keygen -R '[127.0.0.1]:{board.port}' -f {tmp_path / 'old'}"),
    ):
        profile = profile_of(board)
        if known:
            profile = profile.model_copy(update={"known_hosts": str(known)})
        else:
            old = (board.known_hosts).read_text()
            board.change_host_key()
            (tmp_path / "old").write_text(old)
            profile = profile.model_copy(update={"known_hosts": str(tmp_path / "old")})
        with pytest.raises(EdgekitError, match=said) as raised:
            open_device(profile)
        assert raised.value.failure.kind == FailureKind.untrusted_host
        assert raised.value.failure.hint.endswith(hint)


def test_devices_check_goes_the_whole_way_and_names_the_first_thing_that_fails(
    android, profile_of, edgekit, tmp_path, capsule
):
    (tmp_path / "lab.yaml").write_text(profile_of(android).model_dump_json(exclude_none=True))
    done = edgekit("devices", "check", tmp_path / "lab.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert steps == [
        "ok    reach",
        "ok    state",
        "ok    files",
        "ok    programs",
        "ok    tflite runner",
        "ok    executorch runner",
        "ok    measure a tiny model",
    ]
    done = edgekit("devices", "clean", tmp_path / "lab.yaml")
    assert done.returncode == 0, done.stderr
    android.fill_disk(leave=1_000_000)
    done = edgekit("devices", "check", tmp_path / "lab.yaml")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("FAIL  files: disk full: ")


def test_a_setup_waits_for_whoever_is_timing_on_the_board(board, profile_of, tmp_path):
    profile = profile_of(board)
    (tmp_path / "lab.yaml").write_text(profile.model_dump_json(exclude_none=True))
    with opened(profile) as device, timing(device, print):
        command = [sys.executable, "-m", "edgekit", "devices", "setup", tmp_path / "lab.yaml"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting:
            assert waiting.stderr.readline() == "Waiting for another edgekit that uses lab.\n"
            waiting.kill()
