"""What people write on the command line: targets in part, lists, earlier names, settings, and what cannot be combined."""

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.cli.options import parts_of_all
from edgekit.config import settings as module
from edgekit.errors import UsageError
from edgekit.target import KNOWN_TARGETS, named_targets


def run(*arguments):
    return CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["int8"], ["tflite/xnnpack/int8", "executorch/xnnpack/int8"]),
        (["tflite/int8"], ["tflite/xnnpack/int8"]),
        (["tflite", "int8"], ["tflite/xnnpack/fp32", "tflite/xnnpack/int8", "executorch/xnnpack/int8"]),
        (["coreml"], ["coreml/-/fp16"]),
        (["other/gpu/fp32"], ["other/gpu/fp32"]),
    ],
)
def test_a_part_of_a_target_stands_for_all_that_have_it(names, found):
    assert named_targets(names, KNOWN_TARGETS) == found


def test_a_recipes_own_targets_go_before_others():
    assert named_targets(["int8"], ["tflite/xnnpack/int8"]) == ["tflite/xnnpack/int8"]
    assert named_targets(["fp16"], ["tflite/xnnpack/int8"]) == ["coreml/-/fp16"]
    with pytest.raises(ValueError, match="did you mean int8"):
        named_targets(["int4"], KNOWN_TARGETS)


def test_a_repeated_option_keeps_every_value():
    assert parts_of_all(("tflite,coreml", "int8", "coreml")) == ["tflite", "coreml", "int8"]


def test_one_target_is_asked_for_if_a_part_names_several():
    with pytest.raises(UsageError, match="--target int8 names 2 targets"):
        run("export", "v2", "--target", "int8")


@pytest.mark.parametrize("earlier", [("recipes",), ("recipe", "list")])
def test_earlier_names_of_lists_still_work(earlier):
    done = run(*earlier)
    assert "v3_large" in done.output


def test_help_lists_todays_names_only():
    commands = run("--help").output
    assert "\n  device " in commands
    assert "\n  devices " not in commands
    assert run("devices", "--help").output.startswith("Usage: cli devices")


@pytest.mark.parametrize("format_", [("--json",), ("--format", "json")])
def test_json_is_short_for_its_format(format_):
    assert run("recipe", "list", *format_).output.startswith('{\n  "schema": 1')


def test_a_device_is_needed_unless_the_settings_have_one(tmp_path, monkeypatch):
    file = tmp_path / "config.toml"
    monkeypatch.setattr(module, "settings_file", lambda: file)
    with pytest.raises(UsageError, match="Name a device"):
        run("deploy", "v2")
    file.write_text('device = "nothing-of-this-name"\n')
    with pytest.raises(UsageError, match="no device profile named nothing-of-this-name"):
        run("deploy", "v2")


def test_a_resumed_deploy_takes_no_other_choices():
    with pytest.raises(UsageError, match="--resume continues the plan of its run"):
        run("deploy", "v2", "--resume")
    with pytest.raises(UsageError, match="Name a recipe"):
        run("deploy")


def test_devices_with_different_protocols_need_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "device_profiles").mkdir()
    for name, protocol in (("one", "quick"), ("two", "emulated")):
        text = f"name: {name}\nkind: host\nruns: [tflite]\nprotocol: {protocol}\n"
        (tmp_path / f"device_profiles/{name}.yaml").write_text(text)
    monkeypatch.setenv("EDGEKIT_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    with pytest.raises(UsageError, match="different protocols"):
        run("profile", "--recipe", "v2", "--device", "one", "--device", "two")
