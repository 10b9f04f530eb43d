"""edgekit device check: what a device runs and does not run is told as it is."""

from pathlib import Path

import pytest
from profiles import of_kind

from edgekit.devices.profile import Tool

PRINTED = Path(__file__).parents[1] / "measure" / "printed"


@pytest.fixture
def check(profile_of, edgekit, tmp_path):
    """Check a lab device by a profile with other keys; return the exit code and what is told of each step."""

    def checked(there, **keys):
        profile = of_kind(profile_of(there), **keys)
        (tmp_path / "lab.yaml").write_text(profile.model_dump_json(exclude_none=True))
        done = edgekit("devices", "check", tmp_path / "lab.yaml")
        assert not done.stderr.count("bug"), done.stderr
        told = (line.split(": ", 1) for line in done.stdout.splitlines())
        return done.returncode, {step.split(maxsplit=1)[1]: (step.split()[0], words) for step, words in told}

    return checked


def test_where_nothing_of_the_profile_runs_the_first_reason_is_told(board, check):
    board.write("/usr/local/bin/uname", "#!/bin/sh\n[ $1 = -m ] && echo armv7l || exec /usr/bin/uname $@\n", mode=0o755)
    code, told = check(board, runs=("executorch", "coreml"))
    assert code == 1
    assert told["executorch runner"][0] == "skip"
    how, words = told["measure a tiny model"]
    assert how == "FAIL"
    assert "None of the runtimes that lab names runs on this device: edgekit has no native runner for armv7l" in words


def test_a_profile_of_tools_only_is_measured_with_them(board, check, tmp_path):
    (tmp_path / "tool.sh").write_text(
        f"#!/bin/sh\ncat << 'END'\n{(PRINTED / 'benchmark_model.txt').read_text()}\nEND\n"
    )
    (tmp_path / "tool.sh").chmod(0o755)
    tool = Tool(kind="benchmark_model", backend="tflite", program=str(tmp_path / "tool.sh"))
    code, told = check(board, runs=(), tools={"gpu": tool})
    assert told["measure a tiny model"][1].startswith("tflite/gpu/fp32 ")
    assert code == 0
    code, told = check(board, runs=())
    assert (code, told["measure a tiny model"][0]) == (2, "FAIL")
    assert "names neither a runtime (`runs`) nor a tool" in told["measure a tiny model"][1]


def test_the_whole_command_of_a_runner_is_told(mac, check):
    _, told = check(mac, kind="mac", runs=("coreml",))
    how, words = told["coreml runner"]
    assert how == "ok"
    assert words.startswith(f"{mac.root}/venv/bin/python {mac.root}/files/")
    assert words.endswith("--units all")


def test_a_key_that_is_not_there_ends_with_2(board, check):
    code, told = check(board, key="/nosuch")
    assert code == 2
    assert told["reach"][0] == "FAIL"
    assert "no file /nosuch" in told["reach"][1]


def test_a_kind_that_nothing_provides_ends_with_2(profile_of, board, edgekit, tmp_path):
    written = profile_of(board).model_copy(update={"kind": "linus"})
    (tmp_path / "lab.yaml").write_text(written.model_dump_json(exclude_none=True))
    done = edgekit("device", "check", tmp_path / "lab.yaml")
    assert done.returncode == 2
    assert "nothing provides the kind linus" in " ".join(done.stderr.split())
