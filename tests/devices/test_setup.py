"""A board's own Python environment, made over a real SSH and used to time. The lab has no network: wheels lie on the board."""

import shutil
import subprocess
import sys

import pytest
import tiny

from edgekit.build.photos import photo_set
from edgekit.devices.base import opened
from edgekit.devices.linux import LITERT
from edgekit.errors import EdgekitError
from edgekit.pipeline import Plan, start_run
from edgekit.pipeline.plan import Sweep
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe

TARGETS = ("tflite/xnnpack/fp32", "executorch/xnnpack/fp32")


def test_a_board_gets_its_own_python_and_times_tflite_with_it(make_board, profile_of, ledger, edgekit, tmp_path):
    board = make_board(disk_bytes=1 << 30)
    wheels = tmp_path / "wheels"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", wheels, LITERT]
    subprocess.run(download, check=True)
    shutil.copytree(wheels, board.path("/home/board/wheels"))
    board.write("/home/board/.config/pip/pip.conf", "[global]\nno-index = true\nfind-links = /home/board/wheels\n")
    profile = profile_of(board, runner="python")

    def deploy():
        plan = Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set())
        sweep = Sweep((plan,), (profile,), PROTOCOLS["emulated"], None)
        run = start_run("deploy", sweep, ledger, lambda line: None, seed=0)
        return ledger.measurements(run), {failure.target: failure.failure for failure in ledger.failures(run)}

    measured, failures = deploy()
    assert not measured
    assert failures[TARGETS[0]].hint == "Run: edgekit device setup lab"
    assert failures[TARGETS[1]].hint == "Set `runner: native` in the profile."

    with opened(profile) as device:
        board.path("/home/board/wheels").rename(board.path("/home/board/elsewhere"))
        with pytest.raises(EdgekitError, match="ERROR: No matching distribution found for ai-edge-litert"):
            device.setup()
        with pytest.raises(EdgekitError, match="no Python environment"):
            device.own_python()
        board.path("/home/board/elsewhere").rename(board.path("/home/board/wheels"))
        assert "ai-edge-litert 2.3" in " ".join(device.setup().split())
    (tmp_path / "lab.yaml").write_text(profile.model_dump_json(exclude_none=True))
    done = edgekit("devices", "check", tmp_path / "lab.yaml")
    assert done.returncode == 0, done.stdout
    assert (
        "skip  executorch runner: device not supported: The Python environment of lab runs tflite only" in done.stdout
    )
    assert "ok    measure a tiny model: tflite/" in done.stdout
    assert "executorch/" not in done.stdout
    (one,), failures = deploy()
    assert (one.conditions["runner"], one.conditions["runtime"]) == ("python", "ai_edge_litert")
    assert one.conditions["parity_on_device"]["snr_db"] > 80
    assert list(failures) == [TARGETS[1]]
