"""The documents are true: the reference is that of the commands, every command shown runs, and every link leads to something."""

import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from edgekit.cli import cli
from edgekit.cli.failing import guarded
from edgekit.cli.reference import reference
from edgekit.devices.profile import load_profile
from edgekit.ledger import Ledger
from edgekit.target import OTHER_TARGETS, Target
from tests.selection.selection_ledger import Laboratory

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
PAGES = {str(file.relative_to(ROOT)): file.read_text() for file in FILES}


def in_blocks(text):
    """Return the commands that have a line of their own in a page's code."""
    lines = [line.strip() for block in text.split("```")[1::2] for line in block.splitlines()]
    return [re.split(r"\s{2,}#", line)[0] for line in lines if line.startswith("edgekit ")]


IN_BLOCKS = [*in_blocks(PAGES["README.md"]), *in_blocks(PAGES["docs/commands.md"])]
OPEN_END = re.compile("device add|--until")
SHOWN = [command for command in IN_BLOCKS if not OPEN_END.search(command)]
"""The commands of the two pages, without those that need an attached phone (tests/devices/test_discovery.py runs them), or
take as long as it takes (tests/test_several_recipes.py)."""
HELP = re.findall(r"Example: (edgekit .*?)\n\n", PAGES["docs/cli.md"], re.DOTALL)
EXAMPLES = [" ".join(command.split()) for command in HELP]
PROSE = "".join(re.sub("```.*?```", "", text, flags=re.DOTALL) for text in PAGES.values())
INLINE = re.findall("`(edgekit [^`]+)`", PROSE)
EVERY = dict.fromkeys([*EXAMPLES, *INLINE, *in_blocks("".join(PAGES.values()))])
ELSEWHERE = re.compile(r"pixel|mac|--all|>|cache clean|runner build|weights (import|convert)|quantize")
"""Examples that need a device, real weights, hours, a shell, other files or the whole cache: other tests run them."""
RUN = dict.fromkeys([*SHOWN, *(command for command in EXAMPLES if not ELSEWHERE.search(command))])
BEFORE = {
    "edgekit profile --resume": "edgekit profile --recipe v1,v2 --device host --protocol quick",
    "edgekit compile --resume": "edgekit compile recipes/v1.yaml recipes/v2.yaml",
    "edgekit ledger import lab.jsonl": "edgekit ledger export lab.jsonl",
}
"""What must have run before a command."""


def test_the_command_line_reference_is_up_to_date():
    assert PAGES["docs/cli.md"] == reference(), "run: make docs"


def test_commands_are_shown_at_all():
    assert len(SHOWN) >= 30
    assert len(EXAMPLES) >= 20
    assert len(INLINE) >= 10


def test_the_readme_has_at_most_100_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_the_site_has_every_page():
    def pages(entries):
        for entry in entries:
            for value in entry.values():
                yield from pages(value) if isinstance(value, list) else [value]

    nav = list(pages(YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]))
    benchmarks = [str(file.relative_to(ROOT)) for file in (ROOT / "benchmarks").glob("*.md")]
    assert sorted(nav) == sorted([*(file.name for file in FILES[2:]), *benchmarks])


def links(text):
    """Return the addresses of a page's links and images."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for child in token.children or ():
            yield from filter(None, [child.attrGet("href"), child.attrGet("src")])


def anchors(text):
    """Return the names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub("```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_something(page):
    wrong = []
    for link in links((ROOT / page).read_text()):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("command", EVERY)
def test_every_command_that_a_page_names_is_one_and_takes_its_options(command, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    words, found = shlex.split(command.partition(" > ")[0])[1:], cli
    while words and isinstance(found, click.Group):
        found = found.get_command(click.Context(found), words.pop(0))
        assert found, command
    with suppress(click.MissingParameter):  # where only its name is mentioned
        found.make_context("", words)


def test_the_profiles_of_the_devices_page_load_and_time_what_it_says(tmp_path):
    shown = re.findall(r"```yaml\n(name: (\S+)\n.*?)```", PAGES["docs/devices.md"], re.DOTALL)
    for text, name in shown:
        (tmp_path / f"{name}.yaml").write_text(text)
    pixel, orin = (load_profile(str(tmp_path / f"{name}.yaml")) for _, name in shown)
    for profile, target, rows in (
        (pixel, "tflite/xnnpack/fp32", ["tflite/xnnpack/fp32", "tflite/gpu/fp32"]),
        (pixel, "executorch/xnnpack/fp32", ["executorch/xnnpack/fp32"]),
        (pixel, "executorch/vulkan/fp32", ["executorch/vulkan/fp32"]),
        (orin, "onnx/-/fp32", ["onnx/tensorrt/fp32"]),
    ):
        assert list(profile.timings(Target.parse(target))) == rows


def test_the_shell_commands_of_the_devices_page_are_valid(tmp_path):
    blocks = re.findall(r"```sh\n(.*?)```", PAGES["docs/devices.md"], re.DOTALL)
    assert sum("cmake" in block for block in blocks) == 1
    for block in blocks:
        subprocess.run(["sh", "-n", "-c", block], check=True)
    (build,) = (block for block in blocks if "cmake" in block)
    options = re.findall(r"-D(\w+)=(\S+)", build)
    assert ("EXECUTORCH_BUILD_VULKAN", "ON") in options
    assert len(dict(options)) == len(options) == build.count("-D")


def test_the_targets_on_request_are_listed_in_one_place():
    listed = re.search(r"## Targets on request\n(.*?)\n## ", PAGES["docs/recipes.md"], re.DOTALL)[1]
    assert re.findall(r"^- `(.*?)`", listed, re.MULTILINE) == list(OTHER_TARGETS)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A folder like a checkout whose recipes are small and whose host takes the shortest protocol: commands run as written.

    Its ledger has three models of known latency and accuracy, so that a report, a comparison and a selection have an answer.
    """
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("v1", "v2", "v3_large"):  # one network under three names: it is compiled once
        recipe = (ROOT / "recipes/v1.yaml").read_text().replace("name: v1", f"name: {name}")
        recipe = re.sub(r"weights:.*?\n(?=preprocessing)", "weights: {random: 0}\n", recipe, flags=re.DOTALL)
        recipe = recipe.replace("width: 1.0, resolution: 224", "width: 0.25, resolution: 64, depth: 0.1")
        recipe = re.sub(r"grids: \[.*", "grids: [{resolution: [32, 64]}]", recipe)
        recipe += "targets: [tflite/xnnpack/fp32, coreml/-/fp16]\n"
        (folder / "recipes").mkdir(exist_ok=True)
        (folder / f"recipes/{name}.yaml").write_text(recipe)
    shutil.copy(ROOT / "recipes/efficientnet_b0.yaml", folder / "recipes")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "device_profiles").mkdir()
    host = (ROOT / "device_profiles/host.yaml").read_text() + "protocol: emulated\n"
    (folder / "device_profiles/host.yaml").write_text(host)
    (folder / "device_profiles/pixel.yaml").write_text((ROOT / "device_profiles/pixel.yaml").read_text())
    from skimage import data

    for name in ("PHOTO", "cat.png"):
        shutil.copy(Path(data.__path__[0]) / "chelsea.png", folder / name)
    (folder / "photos.csv").write_text("file,label\ncat.png,285\n")
    (folder / "FILE").write_bytes(b"PK\x05\x06" + bytes(18))  # a checkpoint, as far as importing one looks
    for name in ("PROFILE", "profile.csv"):
        shutil.copy(ROOT / "tests/measure/printed/operators.csv", folder / name)
    with Ledger.open(f"sqlite:///{folder}/ledger.sqlite") as ledger:
        laboratory = Laboratory(ledger)
        for recipe, milliseconds, accuracy in (("v1", 1.0, 60.0), ("v2", 2.0, 70.0), ("v3_large", 3.0, 80.0)):
            laboratory.measure(recipe, milliseconds, accuracy, device="host")
    shutil.copy(folder / "ledger.sqlite", folder / "before.sqlite")
    return folder


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_pages_or_the_help_runs_as_written(command, checkout, tmp_path, monkeypatch, capfd):
    shutil.copytree(checkout, tmp_path, dirs_exist_ok=True)  # ledger.sqlite becomes the test's own ledger
    monkeypatch.chdir(tmp_path)
    for step in filter(None, [BEFORE.get(command), command]):
        monkeypatch.setattr(sys, "argv", shlex.split(step))
        code = guarded(cli)
        out, err = capfd.readouterr()
        assert code == 0, f"{step}\n{out}{err}"
        assert "error:" not in err
