"""The whole way of the data, as a user goes it."""

import json
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import tiny

from edgekit.recipe.schema import KNOWN_TARGETS


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A small network deployed to this machine for all its targets; the ledger stays for the tests that read it."""
    ledger = f"sqlite:///{tmp_path_factory.mktemp('deploy')}/ledger.sqlite"
    command = ("deploy", *tiny.OPTIONS, "--device", "host", "--protocol", "emulated", "--json", "--ledger", ledger)
    done = subprocess.run([sys.executable, "-m", "edgekit", *command], capture_output=True, text=True, check=False)
    return done, ledger


def test_deploy_fills_the_document_that_its_schema_describes(small_run):
    done, _ = small_run
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads((files("edgekit") / "schemas/run.schema.json").read_text()))
    assert {entry["target"] for entry in document["artifacts"]} == set(KNOWN_TARGETS)
    assert {entry["target"] for entry in document["measurements"]} == set(KNOWN_TARGETS) - {"coreml/-/fp16"}
    assert document["failures"] == []
    for entry in document["measurements"]:
        low, high = entry["interval_ms"]
        assert 0 < low <= entry["latency_ms"] <= high
        assert (entry["sessions"], entry["iterations"], entry["verdict"]) == (2, 6, "preliminary")
    for entry in document["artifacts"]:
        assert entry["contract"] == "no contract"
        assert entry["parity_kind"] == ("derived" if entry["format"] == "mlpackage" else "measured")
        assert entry["delegate_partitions"] == (None if entry["format"] == "mlpackage" else 1)


def test_progress_is_a_line_per_step_and_the_converters_are_silent(small_run):
    lines = small_run[0].stderr.splitlines()
    for target in KNOWN_TARGETS:
        assert sum(line.startswith((f"v1 {target}: compiled in", f"v1 {target}: from")) for line in lines) == 1
    assert sum(": session " in line for line in lines) == 2 * (len(KNOWN_TARGETS) - 1)
    assert all(line.startswith(("v1 ", "Waiting for another edgekit ")) for line in lines)
    assert lines[0].startswith(f"v1 {tiny.VARIANT}: ")
    assert "v1 coreml/-/fp16: compiled only; host runs tflite, executorch" in lines


def test_raw_samples_and_conditions_are_in_the_ledger(small_run):
    from edgekit.ledger import Ledger

    with Ledger.open(small_run[1]) as ledger:
        for measurement in ledger.measurements():
            sessions = ledger.sessions(measurement.id)
            assert [len(session.samples) for session in sessions] == [3, 3]
            assert measurement.conditions["threads"] == 1
            assert len(measurement.conditions["affinity"]) == 1
            assert measurement.conditions["emulated"] is False
            assert measurement.conditions["artifact_sha256"] == measurement.artifact_sha256
        (run,) = ledger.runs()
        assert (run.command, run.status, run.plan["devices"][0]["name"]) == ("deploy", "done", "host")


def test_report_reads_the_same_from_the_ledger(small_run, edgekit):
    done = edgekit("report", "--ledger", small_run[1])
    assert done.returncode == 0
    assert all(target in done.stdout for target in KNOWN_TARGETS)
    assert edgekit("report", "--ledger", small_run[1], "--format", "csv").stdout.count("\n") == 1 + len(KNOWN_TARGETS)


def test_a_second_deploy_compiles_nothing_and_strict_says_that_it_is_preliminary(small_run, edgekit):
    done = edgekit(
        "deploy", *tiny.OPTIONS, "--device", "host", "--protocol", "emulated", "--strict", "--targets", KNOWN_TARGETS[0]
    )
    assert f"{KNOWN_TARGETS[0]}: from the cache" in done.stderr
    assert done.returncode == 3
    assert "preliminary" in done.stdout


def test_without_a_phone_pixel_is_compiled_verified_recorded_and_told(small_run, edgekit):
    done = edgekit("deploy", *tiny.OPTIONS, "--device", "pixel", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["measurements"] == []
    assert {entry["target"] for entry in document["artifacts"]} == set(KNOWN_TARGETS)
    assert {(entry["target"], entry["kind"]) for entry in document["failures"]} == {
        (target, "offline") for target in KNOWN_TARGETS if not target.startswith("coreml")
    }
    assert all("USB" in entry["message"] and entry["hint"] for entry in document["failures"])
    report = edgekit("report").stdout
    assert "device offline" in report


def test_a_broken_contract_stops_before_anything_is_compiled(edgekit, tmp_path):
    recipe = (files("edgekit").parent / "recipes/v3_small.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(
        recipe.replace("parameters: 2542856, multiply_adds: 56510400", "parameters: 1, multiply_adds: 2")
    )
    done = edgekit("deploy", tmp_path / "mine.yaml", "--device", "host", "--json")
    assert done.returncode == 1
    (failure,) = json.loads(done.stdout)["failures"]
    assert (failure["kind"], failure["target"]) == ("contract", None)
    assert "2,542,856 parameters" in failure["message"]
    assert json.loads(done.stdout)["artifacts"] == []


def test_parity_outside_its_limits_is_a_failure_and_is_not_timed(edgekit):
    limits = "parity={fp32: {max_absolute: 1.0e-12, max_relative: 1.0e-12}}"
    target = KNOWN_TARGETS[0]
    done = edgekit("deploy", *tiny.OPTIONS, "--set", limits, "--device", "host", "--targets", target, "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["measurements"] == []
    assert [failure["kind"] for failure in document["failures"]] == ["parity"]
    assert [artifact["measured"] for artifact in document["artifacts"]] == [False]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_what_was_measured_leaves_nothing_running_and_exits_with_130(small_run, tmp_path, ending):
    ledger = f"sqlite:///{tmp_path}/interrupted.sqlite"
    command = (
        "deploy",
        *tiny.OPTIONS,
        "--device",
        "host",
        "--protocol",
        "1t-big",
        "--ledger",
        ledger,
        "--targets",
        KNOWN_TARGETS[0],
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if "session 2 of 6" in line:
            process.send_signal(ending)
            break
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr

    from edgekit.ledger import Ledger

    with Ledger.open(ledger) as opened:
        assert opened.runs()[0].status == "interrupted"
        assert opened.measurements() == []
        assert len(opened.sessions(1)) >= 2
    time.sleep(0.5)
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True).stdout
    runners = ("python_runner", "litert_runner", "executorch_runner")
    orphans = [line for line in listed.splitlines() if any(name in line for name in runners) and line.split()[0] == "1"]
    assert orphans == []


@pytest.mark.timing
def test_int8_of_v3_large_is_one_delegate_and_at_least_1_4_times_as_fast_where_the_cpu_multiplies_int8(edgekit):
    done = edgekit(
        "deploy",
        "v3_large",
        "--device",
        "host",
        "--protocol",
        "1t-big",
        "--json",
        "--targets",
        "tflite/xnnpack/fp32,tflite/xnnpack/int8",
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [entry["delegate_partitions"] for entry in document["artifacts"]] == [1, 1]
    (ratio,) = document["ratios"]
    assert ratio["interval_confidence"] >= 0.95
    flags = set(Path("/proc/cpuinfo").read_text().split())
    if not flags & {"avx512_vnni", "avx_vnni", "asimddp"}:
        # Measured on an EPYC with AVX2 only: 0.96 [0.93, 0.96].
        pytest.skip(f"this CPU has no int8 dot product, so int8 gains nothing: {ratio['speedup']:.2f} times as fast")
    assert ratio["speedup"] >= 1.4
