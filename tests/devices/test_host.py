import csv
import json
import os
import re
import subprocess
import sys
import time

import pytest
import tiny

from edgekit import __version__
from edgekit.cache.store import content_sha256
from edgekit.devices.base import open_device, opened
from edgekit.devices.cpus import clock_rung
from edgekit.devices.host import governors
from edgekit.devices.profile import load_profile, stored_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError


@pytest.fixture
def host():
    device = open_device(load_profile("host"))
    yield device
    device.release()


def test_a_program_ends_with_its_status_and_both_outputs(host):
    done = host.run([sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], 30)
    assert (done.exit_status, done.stdout, done.stderr) == (3, "out\n", "err\n")


def gone(program):
    """Whether no process has `program` in its command line any more, in a few seconds."""
    for _ in range(50):
        if program not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout:
            return True
        time.sleep(0.1)
    return False


def test_a_program_that_hangs_is_killed_with_its_children(host, tmp_path):
    child = f"touch {tmp_path}/started; sleep 55.55"
    start = time.monotonic()
    with pytest.raises(EdgekitError, match="more than 1 s and was killed") as raised:
        host.run(["sh", "-c", f"sh -c '{child}'; true"], 1)
    assert time.monotonic() - start < 20  # of 55
    assert raised.value.failure.kind == FailureKind.timed_out
    assert (tmp_path / "started").exists()
    assert gone("sleep 55.55")


def test_what_a_program_leaves_running_is_killed_too(host):
    with pytest.raises(EdgekitError, match="was killed"):
        host.run(["sh", "-c", "sleep 77.77 & exit 0"], 1)  # the sleep holds the pipe open
    assert "sleep 77.77" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_a_program_dies_with_an_edgekit_that_is_killed(tmp_path):
    script = (
        "from edgekit.devices.base import open_device\nfrom edgekit.devices.profile import load_profile\n"
        "open_device(load_profile('host')).run(['sleep', '66.66'], 60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    for _ in range(100):
        time.sleep(0.1)
        if "sleep 66.66" in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout:
            break
    parent.kill()
    parent.wait()
    assert gone("sleep 66.66")


def test_files_are_where_they_were(host, tmp_path):
    assert host.push(tmp_path / "file") == str(tmp_path / "file")


def test_the_identity_is_stable_and_says_unknown_where_it_is(host):
    one, two = host.identify(), host.identify()
    assert one.hash == two.hash
    assert len(one.hash) == 16
    assert one.facts["cpus"] == len(os.sched_getaffinity(0))
    assert set(host.state()) == {"load_average", "temperature_c", "temperatures", "clock_rung"}


@pytest.mark.parametrize(
    ("held_by", "rung"),
    [([], "unknown"), (["performance"] * 2, "fixed"), (["performance", "schedutil"], "free-running")],
)
def test_the_clock_rung_is_read_from_the_governors(tmp_path, held_by, rung):
    for cpu, governor in enumerate(held_by):
        path = tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_governor"
        path.parent.mkdir(parents=True)
        path.write_text(governor + "\n")
    assert clock_rung(governors(tmp_path)) == rung


def test_a_profile_of_a_kind_that_nothing_provides_says_so(tmp_path):
    path = tmp_path / "toaster.yaml"
    path.write_text("name: toaster\nkind: toaster\nruns: [tflite]\n")
    with pytest.raises(UsageError, match="nothing provides the kind toaster"):
        open_device(load_profile(str(path)))


def test_a_bundle_that_is_built_does_not_change_what_times(host, capsule):
    assert host.runner("tflite")[-1].endswith("python_runner.py")
    assert host.runner_facts("tflite")["runner_origin"] == f"edgekit {__version__}"


def test_the_profile_chooses_the_native_runner(capsule):
    with opened(load_profile("host", ("runner=native",))) as host:
        assert host.runner("tflite")[-1] == str(capsule / "bin" / "litert_runner")
        facts = host.runner_facts("tflite")
    manifest = json.loads((capsule.parent / "manifest.json").read_text())
    assert facts["runner_origin"] == "built here"
    assert manifest["sources"].startswith(facts["runner_sources"])
    assert facts["runner_bundle_sha256"] == content_sha256(capsule)


def test_a_ledger_of_edgekit_0_1_names_the_capsule_as_the_hosts_runner():
    stored = load_profile("host").model_dump(exclude={"runner"}) | {"runner": "capsule", "port": None}
    assert stored_profile(stored).runner == "python"


def test_rows_of_two_runners_stay_apart_and_diff_names_them(capsule, ledger, edgekit, tmp_path):
    runs = []
    for runner in ("python", "native"):
        done = edgekit(
            *("deploy", *tiny.OPTIONS, "--target", "tflite/fp32", "--device", "host"),
            *("--device-option", f"runner={runner}", "--protocol", "emulated", "--json"),
        )
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout)["run"])
    rows = csv.DictReader(edgekit("report", "--format", "csv").stdout.splitlines())
    assert sorted((row["runner"], row["runner_origin"]) for row in rows) == [
        ("native", "built here"),
        ("python", f"edgekit {__version__}"),
    ]
    entries = json.loads(edgekit("report", "--format", "json").stdout)
    assert {"native", "python"} == set(re.findall(r'"runner": "(\w+)"', json.dumps(entries)))
    table = edgekit("report", "--format", "markdown").stdout
    assert "| Runner " in table
    (cell,) = json.loads(edgekit("diff", *runs, "--json").stdout)["cells"]
    assert (cell["outcome"], cell["ratio"]) == ("not comparable", None)
    assert cell["conditions"]["runner"] == {"first": "python", "second": "native"}
    assert cell["built_with"]["runner_origin"]["second"] == "built here"


def test_this_machine_has_no_address():
    with pytest.raises(UsageError, match=r"unknown key port.*Of its own this kind of device has runner"):
        open_device(load_profile("host", ("port=22",)))


def test_a_check_uses_edgekits_own_recipe_wherever_it_is_run(edgekit, tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/v1.yaml").write_text("name: [")
    done = edgekit("devices", "check", "host", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ok    measure a tiny model" in done.stdout
