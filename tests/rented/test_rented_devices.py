"""A pack on devices that edgekit does not reach: run.sh there for real, and the import of what it wrote."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny
from adb_shell.adb_device import AdbDeviceTcp

from edgekit.build.photos import photo_set
from edgekit.devices.cpus import SPEED_FILES, parse_cpu_list, parse_speeds, timing_cpus
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.pipeline import Plan
from edgekit.protocol import PROTOCOLS, scoped
from edgekit.recipe.loading import load_recipe
from edgekit.rented.importing import import_results
from edgekit.rented.packing import ROOT, open_pack, pack, script

TARGETS = ("tflite/xnnpack/fp32", "executorch/xnnpack/fp32")


def make_pack(folder, arch):
    plan = Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set())
    pack(plan, arch, PROTOCOLS["emulated"], folder / "pack.zip", 7, lambda line: None)
    with zipfile.ZipFile(folder / "pack.zip") as archive:
        archive.extractall(folder)
    return folder / "pack.zip"


@pytest.fixture(scope="module")
def packed(capsule, tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("pack"), "x86_64")


@pytest.fixture(scope="module")
def brought(packed, tmp_path_factory):
    """The results of this machine, which runs the pack in a folder of its own."""
    folder = tmp_path_factory.mktemp("rented")
    shutil.copytree(packed.parent / ROOT, folder / ROOT)
    subprocess.run(["sh", folder / ROOT / "run.sh"], check=True, capture_output=True)
    return folder / ROOT / "results.jsonl"


def quiet(line):
    pass


def of(ledger, run):
    return {one.target: one for one in ledger.measurements(run)}, [one.failure for one in ledger.failures(run)]


def rewritten(brought, folder, change):
    """Return results with changed events and a hash that fits: as if the device had written them so."""
    events = [json.loads(line) for line in brought.read_text().splitlines()]
    *changed, end = change(events)
    lines = "".join(json.dumps(event) + "\n" for event in changed).encode()
    end |= {"lines": len(changed), "sha256": hashlib.sha256(lines).hexdigest()}
    (folder / "results.jsonl").write_bytes(lines + json.dumps(end).encode() + b"\n")
    return folder / "results.jsonl"


def test_results_of_a_pack_become_measurements_with_their_provenance(packed, brought, ledger, edgekit):
    run = import_results(ledger, brought, packed, "some-farm", quiet)
    measured, failures = of(ledger, run)
    assert failures == []
    assert set(measured) == set(TARGETS)
    for one in measured.values():
        conditions = one.conditions
        assert one.device_name == "imported:some-farm"
        assert (conditions["runner"], conditions["machine"]) == ("native", "x86_64")
        assert conditions["runner_origin"] == "built here"
        assert conditions["parity_on_device"]["snr_db"] > 80
        assert conditions["imported"]["source"] == "some-farm"
        assert conditions["imported"]["results_sha256"] == hashlib.sha256(brought.read_bytes()).hexdigest()
        assert conditions["imported"]["imported_by"]
        assert conditions["before"]["load_average"] != "unknown"
        assert one.finished_at.isoformat() == conditions["imported"]["ended_at"].replace("Z", "+00:00")
        assert [len(session.samples) for session in ledger.sessions(one.id)] == [3, 3]
    with pytest.raises(UsageError, match=f"was imported before, by the run {run}"):
        import_results(ledger, brought, packed, "other-name", quiet)
    assert "imported from some-farm" in edgekit("report").stdout
    assert "some-farm" in edgekit("report", "--format", "csv").stdout


def test_imported_results_have_a_table_of_their_own_and_no_pair_in_diff(packed, brought, ledger, edgekit):
    run = import_results(ledger, brought, packed, "some-farm", quiet)
    done = edgekit(
        *("deploy", *tiny.OPTIONS, "--target", "tflite/fp32", "--device", "host", "--protocol", "emulated", "--json"),
        *("--device-option", "runner=native"),
    )
    assert done.returncode == 0, done.stderr
    here = json.loads(done.stdout)["run"]
    report = edgekit("report", "--format", "markdown").stdout
    assert "Imported from some-farm" in report
    cells = json.loads(edgekit("diff", here, run, "--json").stdout)["cells"]
    assert {cell["outcome"] for cell in cells} == {"only on the first side", "only on the second side"}
    assert len(cells) == 3


def test_the_command_line_makes_a_pack_and_imports_it(brought, packed, edgekit, tmp_path):
    made = edgekit("pack", *tiny.OPTIONS, "--target", "tflite/fp32", "--arch", "x86_64", "-o", tmp_path / "one.zip")
    assert made.returncode == 0, made.stderr
    assert "6 sessions" in made.stdout
    done = edgekit("ledger", "import-results", brought, "--pack", packed, "--source", "some-farm", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["measurements"]) == 2
    other = edgekit("ledger", "import-results", brought, "--pack", tmp_path / "one.zip", "--source", "some-farm")
    assert other.returncode == 2
    assert "has the results of another pack" in " ".join(other.stderr.split())


def test_a_computer_without_converters_imports_results(packed, brought):
    missing = "{'torch', 'executorch', 'skimage', 'sklearn', 'PIL', 'litert_torch'}"
    script = (
        "import sys\nclass Missing:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {missing}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\nfrom edgekit.cli import main\nmain()"
    )
    command = ("ledger", "import-results", brought, "--pack", packed, "--source", "some-farm")
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 sessions imported" in done.stderr


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[: len(content) // 2], "is incomplete"),
        (lambda content: content.rpartition(b"\n{")[0] + b"\n", "is incomplete"),
        (lambda content: content.replace(b'"x86_64"', b'"x86_65"', 1), "was changed after run.sh wrote it"),
        (lambda content: content.replace(b'"ns": [', b'"ns": [1, ', 1), "was changed after run.sh wrote it"),
        (lambda content: content.replace(b'"line": "', b"\n", 1), "was changed after run.sh wrote it"),
        (lambda content: b"", "is not what a pack's run.sh writes"),
        (lambda content: b"hello\n", "is not what a pack's run.sh writes"),
    ],
)
def test_a_partial_or_changed_file_is_refused_and_nothing_is_stored(packed, brought, ledger, tmp_path, damage, says):
    (tmp_path / "results.jsonl").write_bytes(damage(brought.read_bytes()))
    with pytest.raises(EdgekitError, match=says):
        import_results(ledger, tmp_path / "results.jsonl", packed, "some-farm", quiet)
    assert ledger.runs() == []


def test_lines_that_the_script_does_not_write_are_refused(packed, brought, ledger, tmp_path):
    file = rewritten(brought, tmp_path, lambda events: [events[0], {"event": "joke"}, *events[1:]])
    with pytest.raises(EdgekitError, match=r"a line that run\.sh does not write"):
        import_results(ledger, file, packed, "some-farm", quiet)


def test_a_changed_pack_is_refused(packed, brought, ledger, tmp_path):
    with zipfile.ZipFile(packed) as archive, zipfile.ZipFile(tmp_path / "pack.zip", "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            changed.writestr(name, content + b"x" if name.endswith("artifacts/0") else content)
    with pytest.raises(EdgekitError, match=r"artifacts/0 in .* is missing or changed") as raised:
        import_results(ledger, brought, tmp_path / "pack.zip", "some-farm", quiet)
    assert raised.value.failure.kind is FailureKind.hash_mismatch
    (tmp_path / "other.zip").write_bytes(b"no zip")
    for file in (tmp_path / "other.zip", tmp_path / "missing.zip"):
        with pytest.raises(UsageError, match="is not a pack"):
            open_pack(file, tmp_path)


def test_a_session_that_is_missing_fails_its_cell_only(packed, brought, ledger, tmp_path):
    def drop(events):
        start = next(i for i, one in enumerate(events) if (one["event"], one.get("artifact")) == ("session", 1))
        end = next(i for i, one in enumerate(events) if i > start and one["event"] == "session_end")
        return events[:start] + events[end + 1 :]

    run = import_results(ledger, rewritten(brought, tmp_path, drop), packed, "some-farm", quiet)
    measured, failures = of(ledger, run)
    assert set(measured) == {TARGETS[0]}
    assert [failure.kind for failure in failures] == [FailureKind.crashed]
    assert "session 1 of 2 is missing" in failures[0].message


def changed(**where):
    def change(fields):
        def apply(events):
            for event in events:
                if all(event.get(key) == value for key, value in where.items()):
                    event.update(fields)
            return events

        return apply

    return change


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (changed(event="session_end", artifact=0)({"status": 1}), FailureKind.crashed, "ended with status 1"),
        (changed(event="session_end", artifact=0)({"status": 137}), FailureKind.out_of_memory, "status 137"),
        (changed(event="session_end", artifact=0)({"status": 124}), FailureKind.timed_out, "ran for more than 900 s"),
        (changed(event="session", artifact=0)({"cpu": 0}), FailureKind.unverified, "CPU 0 instead of"),
        (
            changed(event="output", artifact=0)({"line": base64.b64encode(np.ones(10, "<f4")).decode()}),
            FailureKind.crashed,
            "values on imported:some-farm instead of",
        ),
    ],
)
def test_what_failed_on_the_device_is_a_failure_here(packed, brought, ledger, tmp_path, change, kind, says):
    run = import_results(ledger, rewritten(brought, tmp_path, change), packed, "some-farm", quiet)
    measured, failures = of(ledger, run)
    assert set(measured) == {TARGETS[1]}
    assert [failure.kind for failure in failures] == [kind]
    assert says in failures[0].message


def test_a_device_that_computes_something_else_than_pytorch_is_a_failure(packed, brought, ledger, tmp_path):
    def negate(events):
        own = [event for event in events if event["event"] == "output" and event["artifact"] == 0]
        values = np.frombuffer(base64.b64decode("".join(event["line"] for event in own)), "<f4")
        own[0]["line"] = base64.b64encode(-values).decode()
        return [event for event in events if event not in own[1:]]

    run = import_results(ledger, rewritten(brought, tmp_path, negate), packed, "some-farm", quiet)
    measured, failures = of(ledger, run)
    assert set(measured) == {TARGETS[1]}
    assert [failure.kind for failure in failures] == [FailureKind.parity]


def test_the_script_refuses_a_pack_that_arrived_damaged(packed, tmp_path):
    shutil.copytree(packed.parent / ROOT, tmp_path / ROOT)
    (tmp_path / ROOT / "artifacts/1").write_bytes(b"damaged")
    done = subprocess.run(["sh", tmp_path / ROOT / "run.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "missing or changed: artifacts/1: FAILED" in done.stderr
    assert not (tmp_path / ROOT / "results.jsonl").exists()


def test_a_pack_is_for_native_runners_and_a_new_zip(packed, tmp_path):
    plan = Plan.of(load_recipe(*tiny.TINY), ["coreml/-/fp16"], photo_set())
    for output, says in ((packed, "There is something at"), (tmp_path / "x.tar", "does not end in .zip")):
        with pytest.raises(UsageError, match=says):
            pack(plan, "x86_64", PROTOCOLS["emulated"], output, None, quiet)
    with pytest.raises(UsageError, match="there is none for coreml"):
        pack(plan, "x86_64", PROTOCOLS["emulated"], tmp_path / "x.zip", None, quiet)


@pytest.mark.parametrize(
    "protocol", [PROTOCOLS["2t"], PROTOCOLS["1t-little"], scoped(PROTOCOLS["quick"], "end-to-end")]
)
def test_a_pack_refuses_a_protocol_that_its_script_cannot_follow(protocol, tmp_path):
    plan = Plan.of(load_recipe(*tiny.TINY), ["tflite/xnnpack/fp32"], photo_set())
    with pytest.raises(UsageError, match=f"not as {re.escape(protocol.name)}"):
        pack(plan, "x86_64", protocol, tmp_path / "x.zip", None, quiet)


CAPACITY, CLOCK = SPEED_FILES


@pytest.mark.parametrize(
    ("allowed", "files"),
    [
        ("0-3", {}),
        ("0,2-3", {CLOCK: {0: 2800, 1: 2800, 2: 1800, 3: 1800}}),
        ("0-3", {CAPACITY: {0: 1024, 1: 1024, 2: 300, 3: 300}, CLOCK: {0: 2000, 1: 2100, 2: 2500, 3: 2500}}),
        ("0-3", {CAPACITY: {0: 1024, 1: 300}, CLOCK: {0: 2000, 1: 2000, 2: 1500, 3: 1500}}),
        ("1-3", {CAPACITY: {1: 0, 2: 5, 3: 5}}),
        ("5", {CLOCK: {5: 1000}}),
        ("0-1,4-5", {CLOCK: {0: 5, 1: 5, 4: 5, 5: 5}}),
    ],
)
def test_the_script_chooses_the_cpu_that_edgekit_would(allowed, files, tmp_path):
    lines = [f"{file} {cpu} {value}" for file, values in files.items() for cpu, value in values.items()]
    for file, values in files.items():
        for cpu, value in values.items():
            path = tmp_path / f"cpu{cpu}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    (tmp_path / "status").write_text(f"Name:\tsh\nCpus_allowed_list:\t{allowed}\n")
    text = script("nonce", "x86_64", PROTOCOLS["quick"])
    functions = re.search(r"^expand\(\) \{.*?^\}\n.*?^large_core\(\) \{.*?^\}\n", text, re.MULTILINE | re.DOTALL)[0]
    functions = functions.replace("/sys/devices/system/cpu", str(tmp_path)).replace(
        "/proc/self/status", f"{tmp_path}/status"
    )
    done = subprocess.run(["sh", "-c", f"{functions}large_core"], capture_output=True, text=True, check=True)
    assert (int(done.stdout),) == timing_cpus(parse_cpu_list(allowed), parse_speeds(lines), 1, "big", "it")


def adb(phone):
    device = AdbDeviceTcp(phone.host, phone.port)
    device.connect(rsa_keys=[phone.signer()], auth_timeout_s=10)
    return device


@pytest.mark.parametrize("where", ["android", pytest.param("android_arm64", marks=pytest.mark.slow)])
def test_a_phone_that_only_adb_reaches_runs_the_pack(where, request, ledger, capsule, tmp_path):
    """As a farm's test host does: push the folder, run the script, pull one file."""
    arch = "x86_64" if where == "android" else "aarch64"
    if arch == "aarch64":
        request.getfixturevalue("capsule_arm64")
    phone = request.getfixturevalue(where)
    packed = make_pack(tmp_path, arch)
    shutil.rmtree(tmp_path / ROOT / "lab")  # not needed on the device
    before = phone.state()
    device = adb(phone)
    for file in (path for path in (tmp_path / ROOT).rglob("*") if path.is_file()):  # adb-shell pushes no folder in one
        remote = f"/data/local/tmp/{file.relative_to(tmp_path)}"
        device.shell(f"mkdir -p {Path(remote).parent}")
        device.push(str(file), remote, st_mode=0o100644, read_timeout_s=60)
    said = device.shell(f"sh /data/local/tmp/{ROOT}/run.sh", transport_timeout_s=300, read_timeout_s=300, timeout_s=600)
    assert "run.sh: done" in said, said
    device.pull(f"/data/local/tmp/{ROOT}/results.jsonl", str(tmp_path / "results.jsonl"), read_timeout_s=60)
    device.close()
    assert phone.state() == before
    run = import_results(
        ledger, tmp_path / "results.jsonl", packed, "some-farm", quiet, emulated=where == "android_arm64"
    )
    measured, failures = of(ledger, run)
    assert failures == []
    assert set(measured) == set(TARGETS)
    conditions = measured[TARGETS[0]].conditions
    assert (conditions["model"], conditions["machine"]) == ("Pixel 3", arch)
    assert conditions["android"] != "unknown"
    assert conditions["before"]["battery"]["level"] != "unknown"
    assert conditions["before"]["temperature_c"] != "unknown"
    assert conditions["emulated"] == (where == "android_arm64")
    assert conditions["parity_on_device"]["snr_db"] > 80


@pytest.mark.parametrize("where", ["board", pytest.param("board_arm64", marks=pytest.mark.slow)])
def test_a_board_runs_the_pack(where, request, ledger, capsule, tmp_path):
    arch = "x86_64" if where == "board" else "aarch64"
    if arch == "aarch64":
        request.getfixturevalue("capsule_arm64")
    board = request.getfixturevalue(where)
    packed = make_pack(tmp_path, arch)
    options = ("-i", board.key, "-o", f"UserKnownHostsFile={board.known_hosts}")
    there = f"{board.user}@{board.host}"
    subprocess.run(["scp", "-q", "-r", *options, "-P", str(board.port), tmp_path / ROOT, f"{there}:"], check=True)
    command = ["ssh", *options, "-p", str(board.port), there, f"sh {ROOT}/run.sh"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    remote = f"{there}:{ROOT}/results.jsonl"
    subprocess.run(["scp", "-q", *options, "-P", str(board.port), remote, tmp_path / "results.jsonl"], check=True)
    run = import_results(ledger, Path(tmp_path / "results.jsonl"), packed, "a-board", quiet, emulated=arch == "aarch64")
    measured, failures = of(ledger, run)
    assert failures == []
    assert set(measured) == set(TARGETS)
    assert {one.device_name for one in measured.values()} == {"imported:a-board"}
