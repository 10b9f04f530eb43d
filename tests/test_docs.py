"""The documents tell the truth: the reference is that of the commands, and every command shown runs."""

import re
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

import click
import pytest

from edgekit.cli import cli
from edgekit.cli.reference import reference
from edgekit.devices.profile import load_profile
from edgekit.ledger import Ledger
from edgekit.target import Target
from tests.selection.selection_ledger import Laboratory

ROOT = Path(__file__).parents[1]
PAGES = {page: page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


def in_blocks(text):
    """Return the commands that stand on lines of their own in a page's code."""
    lines = [line.strip() for block in text.split("```")[1::2] for line in block.splitlines()]
    return [re.split(r"\s{2,}#", line)[0] for line in lines if line.startswith("edgekit ")]


SHOWN = in_blocks(PAGES[ROOT / "README.md"])
HELP = re.findall(r"Example: (edgekit .*?)\n\n", PAGES[ROOT / "docs/cli.md"], re.DOTALL)
EXAMPLES = [" ".join(command.split()) for command in HELP]
PROSE = "".join(re.sub("```.*?```", "", text, flags=re.DOTALL) for text in PAGES.values())
INLINE = re.findall("`(edgekit [^`]+)`", PROSE)
EVERY = dict.fromkeys([*EXAMPLES, *INLINE, *in_blocks("".join(PAGES.values()))])
ELSEWHERE = re.compile(r"pixel|mac|--all|>|cache clean|capsule build|weights (import|convert)|quantize")
"""Examples that need a device, real weights, hours, a shell, other files or the whole cache: other tests run them."""


def test_the_command_line_reference_is_up_to_date():
    assert (ROOT / "docs/cli.md").read_text() == reference(), "run: make docs"


def test_commands_are_shown_at_all():
    assert len(SHOWN) >= 10
    assert len(EXAMPLES) >= 20
    assert len(INLINE) >= 10


@pytest.mark.parametrize("command", EVERY)
def test_every_command_that_a_page_names_is_one_and_takes_its_options(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    words, found = shlex.split(command.partition(" > ")[0])[1:], cli
    while words and isinstance(found, click.Group):
        found = found.get_command(click.Context(found), words.pop(0))
        assert found, command
    with suppress(click.MissingParameter):  # where only its name is mentioned
        found.make_context("", words)


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

    for name in ("PHOTO", "cat.png"):
        shutil.copy(Path(data.__path__[0]) / "chelsea.png", tmp_path / name)
    (tmp_path / "photos.csv").write_text("file,label\ncat.png,285\n")
    (tmp_path / "FILE").write_bytes(b"PK\x05\x06" + bytes(18))  # a checkpoint, as far as importing one looks
    for name in ("PROFILE", "profile.csv"):
        shutil.copy(ROOT / "tests/measure/printed/operators.csv", tmp_path / name)
    shutil.copy(ROOT / "recipes/efficientnet_b0.yaml", tmp_path / "recipes")
    with Ledger.open(f"sqlite:///{tmp_path}/before.sqlite") as before:
        Laboratory(before).measure("v1", 1.0)
    return tmp_path


def test_every_command_of_the_readme_and_every_example_runs_as_written(edgekit, folder):
    for command in dict.fromkeys([*SHOWN, *(one for one in EXAMPLES if not ELSEWHERE.search(one))]):
        done = edgekit(*shlex.split(command)[1:], cwd=folder)
        # Two sessions of tiny networks, and one photo, decide nothing.
        expected = 3 if command.startswith("edgekit select") else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
