"""The documents tell the truth: the reference is that of the commands, and every command shown runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from edgekit.cli.reference import reference
from edgekit.devices.profile import load_profile
from edgekit.target import Target

ROOT = Path(__file__).parents[1]
SHOWN = [
    re.split(r"\s{2,}#", line)[0].strip()
    for block in (ROOT / "README.md").read_text().split("```")[1::2]
    for line in block.splitlines()
    if line.startswith("edgekit ")
]


def test_the_command_line_reference_is_up_to_date():
    assert (ROOT / "docs/cli.md").read_text() == reference(), "run: make docs"


def test_commands_are_shown_at_all():
    assert len(SHOWN) >= 10


def test_the_profile_of_the_readme_loads(tmp_path):
    shown = re.search(r"```yaml\n(name: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    (tmp_path / "shown.yaml").write_text(shown)
    profile = load_profile(str(tmp_path / "shown.yaml"))
    assert list(profile.timings(Target.parse("tflite/xnnpack/fp32"))) == ["tflite/xnnpack/fp32", "tflite/gpu/fp32"]


@pytest.fixture
def folder(tmp_path):
    """A folder like a checkout whose recipes are small and whose host takes the shortest protocol: commands run as written."""
    for name in ("v1", "v2", "v3_large"):  # one network under three names: it is compiled once
        recipe = (ROOT / "recipes/v1.yaml").read_text().replace("name: v1", f"name: {name}")
        recipe = re.sub(r"weights:.*?\n(?=preprocessing)", "weights: {random: 0}\n", recipe, flags=re.DOTALL)
        recipe = recipe.replace("width: 1.0, resolution: 224", "width: 0.25, resolution: 64, depth: 0.1")
        recipe = re.sub(r"grids: \[.*", "grids: [{resolution: [32, 64]}]", recipe)
        recipe += "targets: [tflite/xnnpack/fp32, coreml/-/fp16]\n"
        (tmp_path / "recipes").mkdir(exist_ok=True)
        (tmp_path / f"recipes/{name}.yaml").write_text(recipe)
    (tmp_path / "device_profiles").mkdir()
    host = (ROOT / "device_profiles/host.yaml").read_text() + "protocol: emulated\n"
    (tmp_path / "device_profiles/host.yaml").write_text(host)
    (tmp_path / "device_profiles/pixel.yaml").write_text((ROOT / "device_profiles/pixel.yaml").read_text())
    from skimage import data

    shutil.copy(Path(data.__path__[0]) / "chelsea.png", tmp_path / "PHOTO")
    (tmp_path / "FILE").write_bytes(b"a checkpoint")
    shutil.copy(ROOT / "tests/measure/printed/operators.csv", tmp_path / "PROFILE")
    return tmp_path


def test_every_command_of_the_readme_runs_as_written(edgekit, folder):
    for command in SHOWN:
        done = edgekit(*shlex.split(command)[1:], cwd=folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
