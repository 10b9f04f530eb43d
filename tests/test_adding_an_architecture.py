"""docs/adding-an-architecture.md is true: its code blocks, put into the files that it names, are a plug-in that works."""

import json
import shlex

import pytest
from pages import Page

from edgekit.architectures.registry import ARCHITECTURES, Architecture
from edgekit.build.prepare import plugged_source_hash

PAGE = Page("adding-an-architecture.md")
FILES, COMMANDS = PAGE.files, PAGE.commands


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """The newcomer's folder with the files of the page, and the environment in which its package is installed."""
    folder = tmp_path_factory.mktemp("toynet")
    return folder, PAGE.install(folder)


def test_the_page_has_one_file_one_recipe_and_their_package():
    assert set(FILES) == {"toynet.py", "pyproject.toml", "recipes/toynet.yaml"}
    assert COMMANDS[0] == "pip install ."
    assert "toynet" not in ARCHITECTURES


def test_every_command_of_the_page_runs(newcomer, edgekit_process):
    folder, environment = newcomer
    for command in COMMANDS[1:]:
        done = edgekit_process(*shlex.split(command)[1:], cwd=folder, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_toy_net_keeps_its_contract_at_every_variant(newcomer, edgekit_process):
    folder, environment = newcomer
    done = edgekit_process("inspect", "toynet", "--sweep", "width=1.0,0.5", "--json", cwd=folder, env=environment)
    assert [entry["contract"] for entry in json.loads(done.stdout)["recipes"]] == ["met", "met"]


def test_a_recipe_may_set_the_options_of_the_functions_signature_only(newcomer, edgekit_process):
    folder, environment = newcomer
    done = edgekit_process("inspect", "toynet", "--set", "model.depth=2", cwd=folder, env=environment)
    assert done.returncode == 2
    assert "toynet takes no depth; its options: width, activation" in done.stderr


def test_a_plug_in_has_an_option_of_its_own_with_a_type(newcomer, edgekit_process):
    folder, environment = newcomer
    changed = ("inspect", "toynet", "--set", "model.activation=hardswish", "--json")
    (entry,) = json.loads(edgekit_process(*changed, cwd=folder, env=environment).stdout)["recipes"]
    assert entry["variant"] == "1.0/128/10/activation=hardswish"
    assert entry["contract"] == "no contract"
    wrong = edgekit_process("inspect", "toynet", "--set", "model.activation=gelu", cwd=folder, env=environment)
    assert wrong.returncode == 2
    assert "key model.activation: Input should be 'relu' or 'hardswish'" in wrong.stderr


def test_the_source_of_a_plugged_network_is_part_of_what_a_build_is_known_by(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ARCHITECTURES, "toynet", Architecture("toynet_source", "toynet", options=None))
    source = tmp_path / "toynet_source.py"
    source.write_text(FILES["toynet.py"])
    before = plugged_source_hash("toynet")
    assert ARCHITECTURES["toynet"].takes == ("width", "activation")
    source.write_text(FILES["toynet.py"].replace("nn.ReLU,", "nn.ReLU6,"))
    assert "" != plugged_source_hash("toynet") != before
    assert plugged_source_hash("mobilenet_v1") == ""
