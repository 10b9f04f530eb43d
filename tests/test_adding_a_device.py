"""docs/adding-a-device.md is true: its code blocks, put into the files that it names, are a device that edgekit measures on."""

import json
import platform
import shlex

import pytest
import tiny
from pages import Page

PAGE = Page("adding-a-device.md")
FILES, COMMANDS = PAGE.files, PAGE.commands


@pytest.fixture(scope="module")
def stranger(tmp_path_factory, capsule):
    """The stranger's folder with the files of the page, and the environment in which its package is installed."""
    folder = tmp_path_factory.mktemp("box")
    (folder / "home").mkdir()
    return folder, {**PAGE.install(folder), "HOME": str(folder / "home")}


def test_the_page_has_one_file_one_profile_and_their_package():
    assert set(FILES) == {"box.py", "pyproject.toml", "device_profiles/box.yaml"}
    assert COMMANDS[0] == "pip install ."
    assert len(COMMANDS) == 3


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the page's commands name x86_64")
def test_every_command_of_the_page_runs(stranger, edgekit_process):
    folder, environment = stranger
    for command in COMMANDS[1:]:
        more = (*tiny.OPTIONS[1:], "--protocol", "emulated", "--json") if " deploy " in command else ()
        arguments = shlex.split(command.replace("recipes/v3_small.yaml", tiny.RECIPE))[1:]
        done = edgekit_process(*arguments, *more, cwd=folder, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    wrong = edgekit_process(*arguments, "--device-set", "enter=[no-such-shell]", cwd=folder, env=environment)
    assert "There is no no-such-shell." in wrong.stderr
    wrong = edgekit_process(*arguments, "--device-set", "entr=[sh]", cwd=folder, env=environment)
    assert "unknown key entr. Did you mean enter?" in wrong.stderr
    (measurement,) = json.loads(done.stdout)["measurements"]
    assert (measurement["device"], measurement["target"]) == ("box", "tflite/xnnpack/fp32")
    assert (folder / "home/.cache/edgekit-box/files").is_dir()
    assert list((folder / "home/.cache/edgekit-box/work").iterdir()) == []
