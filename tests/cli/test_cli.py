import json
import os
import statistics
import subprocess
import sys
import time
from importlib.resources import files

import jsonschema
import pytest
import tiny

from edgekit.cli import COMMANDS
from edgekit.errors import LABELS, ExitCode, FailureKind

HELP = """
import contextlib, io, json, sys
from edgekit.cli import COMMANDS, cli
HEAVY = {'torch', 'numpy', 'scipy', 'pandas', 'pydantic', 'sqlalchemy', 'rich'}
shown = {}
for command in ['', *COMMANDS]:
    output, code = io.StringIO(), None
    with contextlib.redirect_stdout(output):
        try: cli([part for part in (command, '--help') if part])
        except SystemExit as done: code = done.code
    shown[command] = (code, output.getvalue(), sorted(HEAVY & set(sys.modules)))
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def every_help():
    """Command -> exit code and text of its help, and the heavy modules that are imported by then, in one new process."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_no_torch_and_nothing_heavy(every_help, command):
    code, text, heavy = every_help[command]
    assert not code
    assert heavy == []
    assert "Usage:" in text
    assert command in {"", "weights"} or "Example: edgekit" in text


@pytest.mark.timing
def test_help_takes_under_300_ms():
    def once():
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "edgekit", "--help"], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    assert statistics.median(once() for _ in range(7)) < 0.3


def test_inspect_shows_layers_shares_and_the_contract(edgekit):
    done = edgekit("inspect", "recipes/v1.yaml")
    assert done.returncode == 0
    for part in ("depthwise 3x3", "94.86%", "568,740,352", "4,231,976", "contract met"):
        assert part in done.stdout


def test_inspect_all_as_json_fits_its_schema(edgekit):
    done = edgekit("inspect", "--all", "--json")
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads((files("edgekit") / "schemas/inspect.schema.json").read_text()))
    assert document["schema"] == 1
    assert {entry["name"]: entry["contract"] for entry in document["recipes"]}["v3_large"] == "met"


def test_inspect_of_a_broken_contract_exits_with_1_and_of_none_says_so(edgekit, tmp_path):
    broken = (
        (files("edgekit").parent / "recipes/v1.yaml")
        .read_text()
        .replace("4231976, multiply_adds: 568740352", "1, multiply_adds: 2")
    )
    (tmp_path / "broken.yaml").write_text(broken)
    done = edgekit("inspect", tmp_path / "broken.yaml")
    assert done.returncode == 1
    assert "contract broken" in done.stdout
    done = edgekit("inspect", "v1", "--set", "model.width=0.6")
    assert done.returncode == 0
    assert "no contract" in done.stdout


def test_devices_lists_what_is_reachable_and_what_is_not(edgekit):
    done = edgekit("devices")
    assert done.returncode == 0
    assert "reachable" in done.stdout
    assert "device offline" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("deploy", "v3_larg", "--device", "host"), 2, "Did you mean v3_large?"),
        (("deploy", "v1", "--device", "hots"), 2, "Did you mean host?"),
        (("deploy", "v1", "--device", "host", "--protocol", "slow"), 2, "Known: 1t-big, 1t-little, 2t, 4t, emulated, "),
        (("deploy", "v1", "--device", "host", "--targets", "tflite/gpu/fp32"), 2, "Known targets: "),
        (("deploy", "v1", "--device", "host", "--targets", "tflight"), 2, "did you mean tflite?"),
        (("deploy", "v1"), 2, "--device"),
        (("compile", "v1", "--set", "model.width=0"), 2, "key model.width: Input should be greater than 0"),
        (("compile", "v1", "--photos", "/nowhere"), 2, "There is no folder /nowhere"),
        (("classify", "v1", "/nowhere.png"), 2, "There is no photo at /nowhere.png"),
        (("classify", "v1", "photo.png", "--target", "a,b"), 2, "no target has"),
        (("classify", "v1", "photo.png", "--target", ""), 2, "no target has"),
        (("inspect",), 2, "Name one recipe, or use --all"),
        (("inspect", "v1", "--all"), 2, "--all shows every recipe. Do not name one"),
        (("inspect", "v1", "--format", "markdown", "--json"), 2, "are two formats"),
        (("report", "--run", "none"), 2, "There is no ledger at "),
        (("profile", "--resume", "none"), 2, "There is no ledger at "),
        (("profile", "--resume", "--protocol", "quick"), 2, "--resume continues the plan of its run"),
        (("deploy", "v1", "--device", "host", "--seed", "9" * 30), 2, "--seed"),
        (("inspect", "v1", "--peak-gflops", "inf", "--bandwidth-gbs", "1"), 2, "'inf' is not a finite number"),
        (("inspect", "v1", "--peak-gflops", "1", "--bandwidth-gbs", "0"), 2, "--bandwidth-gbs"),
        (("devices", "check", "host", "--device-set", "foo"), 2, "--device-option foo: write KEY=VALUE"),
        (("report", "--ledger", "no url"), 2, "is not the address of a ledger"),
        (("weights", "import", "/nowhere.pth"), 2, "There is no file at /nowhere.pth"),
        (("dance",), 2, "No such command"),
    ],
)
def test_bad_input_gets_a_sentence_an_exit_code_and_no_traceback(edgekit, arguments, code, said):
    done = edgekit(*arguments)
    assert done.returncode == code
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cache", ["a file", "nowhere to write"])
def test_a_cache_that_cannot_be_used_is_told(edgekit, tmp_path, cache):
    (tmp_path / "a file").write_text("")
    place = tmp_path / "a file" if cache == "a file" else "/proc/nowhere"
    done = edgekit("compile", "v1", "--set", "model.resolution=32", env={"EDGEKIT_CACHE": str(place)})
    assert done.returncode == (2 if cache == "a file" else 1)
    assert "EDGEKIT_CACHE" in done.stderr
    assert "bug" not in done.stderr


def test_without_a_home_folder_it_says_what_to_name_instead(edgekit):
    nowhere = {"HOME": "/proc/nohome", "EDGEKIT_LEDGER": "", "XDG_DATA_HOME": ""}
    done = edgekit("compile", "v1", env=nowhere)
    assert done.returncode == 1
    assert "EDGEKIT_LEDGER" in done.stderr
    assert "bug" not in done.stderr


def test_paths_that_are_not_utf8_work_but_for_the_cache_which_says_so(edgekit, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    recipe = folder / os.fsdecode(b"r\xe9.yaml")
    recipe.write_text((files("edgekit").parent / "recipes/v1.yaml").read_text())
    done = edgekit("inspect", recipe)
    assert done.returncode == 0, done.stderr
    assert "contract met" in done.stdout
    small = (*tiny.OPTIONS[1:], "--targets", "coreml/-/fp16")
    assert edgekit("compile", recipe, *small).returncode == 0
    done = edgekit("compile", recipe, *small, env={"EDGEKIT_CACHE": str(folder / "cache")})
    assert done.returncode == 2
    assert "is not UTF-8" in done.stderr
    assert "EDGEKIT_CACHE" in done.stderr


def test_a_broken_profile_is_a_row_and_the_others_are_listed(edgekit, tmp_path):
    (tmp_path / "broken.yaml").write_text("name: broken\nkind: host\ndescription: a [/phone]\n")
    done = edgekit("devices", env={"EDGEKIT_PROFILES": str(tmp_path)})
    assert done.returncode == 0
    assert "recipe error" in done.stdout or "Field required" in done.stdout
    assert "reachable" in done.stdout


def test_fetching_random_weights_says_that_there_is_nothing_to_fetch(edgekit):
    assert "nothing to fetch" in edgekit("weights", "fetch", "v1").stdout


def test_a_full_disk_is_told(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m edgekit recipes > /dev/full", shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "bug" not in done.stderr


def test_a_table_that_nobody_reads_to_its_end_is_no_failure():
    command = f"{sys.executable} -m edgekit recipes"
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_progress_that_cannot_be_written_ends_nothing(tmp_path):
    scale = f"{sys.executable} -m edgekit scale efficientnet_b0 --phi 1 --output {tmp_path}"
    done = subprocess.run(f"{scale} 2> /dev/full", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "240" in done.stdout


@pytest.mark.parametrize("room", ["2300k", "3300k"])  # full at the log, at the artifact
def test_a_disk_that_fills_up_while_compiling_is_a_failure_and_leaves_nothing_half(missing, tmp_path, room):
    disk = tmp_path / "disk"
    disk.mkdir()
    small = "compile v1 --set model.resolution=32 --set model.width=0.25 --targets tflite/xnnpack/fp32 --json"
    script = (
        f"mount -t tmpfs -o size={room} none {disk} && {sys.executable} -m edgekit {small}; "
        f"echo left: $(ls -A {disk}/models {disk}/artifacts) >&2"
    )
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*unshare, f"mount -t tmpfs none {disk}"], capture_output=True, check=False).returncode:
        missing("mounting a small disk needs `unshare` and the right to use it")
    done = subprocess.run(
        [*unshare, script], env={**os.environ, "EDGEKIT_CACHE": str(disk)}, capture_output=True, text=True, check=False
    )
    (failure,) = json.loads(done.stdout)["failures"]
    assert failure["kind"] == "disk_full", failure
    assert not [name for name in done.stderr.rpartition("left:")[2].split() if name.startswith(".")]


def test_debug_shows_the_traceback(edgekit):
    done = edgekit("--debug", "inspect", "none")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_an_import_with_the_wrong_hash_is_refused(edgekit, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"content")
    done = edgekit(
        "weights", "import", tmp_path / "net.pth", "--sha256", "00000000", env={"EDGEKIT_CACHE": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "has SHA-256 ed7002b4" in done.stderr


def test_the_exit_codes_have_an_order():
    code = ExitCode
    assert code.worst(set()) == 0
    assert code.worst({code.untrustworthy, code.failure}) == 1
    assert code.worst({code.usage, code.failure}) == 2
    assert code.worst(set(code)) == 130


def test_every_failure_kind_is_snake_case_and_has_a_label():
    assert set(LABELS) == set(FailureKind)
    assert all(kind.value.replace("_", "").islower() for kind in FailureKind)
