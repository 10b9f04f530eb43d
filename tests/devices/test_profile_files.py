"""Device profiles explain themselves as recipes do; an address may come from the environment."""

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from edgekit.devices.linux import LinuxProfile
from edgekit.devices.profile import known_profiles, load_profile, stored_profile
from edgekit.errors import UsageError
from edgekit.pipeline.plan import Sweep
from edgekit.schemas import committed
from edgekit.target import Target

PROFILE = "name: mine\nkind: linux\nruns: [tflite]\n"
TOOL = "tools: {{gpu: {{kind: benchmark_model, backend: {backend}, program: {program}, precisions: [{precision}]}}}}\n"


@pytest.fixture
def write(tmp_path):
    def written(text):
        (tmp_path / "mine.yaml").write_text(text)
        return str(tmp_path / "mine.yaml")

    return written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROFILE.replace("tflite", "tflit"), "line 3, key runs.0: unknown backend tflit. Did you mean tflite?"),
        (PROFILE + "protocol: quik\n", "line 4, key protocol: unknown protocol quik. Did you mean quick?"),
        (PROFILE + "folder: here\n", "line 4, key folder: write an absolute path"),
        (PROFILE.replace("mine", "My Board"), "line 1, key name: write a name: a-z"),
        (PROFILE + TOOL.format(backend="tf", program="/x", precision="fp32"), "tools.gpu.backend: unknown backend tf."),
        (PROFILE + TOOL.format(backend="tflite", program="x", precision="fp32"), "write a path that is absolute or"),
        (
            PROFILE + TOOL.format(backend="tflite", program="/x", precision="fp8"),
            "Input should be 'fp32', 'fp16' or 'int8'",
        ),
        (PROFILE.replace("linux", "linx"), "line 2, key kind: nothing provides the kind linx. Did you mean linux?"),
        (PROFILE.replace("kind: linux\n", ""), "key kind: Field required"),
        (PROFILE + "compute_units: all\n", "line 4: unknown key compute_units. Known: "),
        (
            PROFILE + "compute_units: all\n",
            "Of its own this kind of device has folder, host, port, user, key, known_hosts",
        ),
        (PROFILE.replace("tflite", "tflite/"), "line 3, key runs.0: write backend or backend/delegate"),
        (
            PROFILE.replace("tflite", "tflite/gpu"),
            "line 3, key runs: the runner for tflite times xnnpack, not gpu. A tool times other delegates",
        ),
    ],
)
def test_what_is_wrong_names_line_key_and_the_nearest_name(write, text, said):
    with pytest.raises(UsageError) as raised:
        load_profile(write(text))
    assert said in raised.value.failure.message


def test_what_the_user_gave_elsewhere_is_told_as_it_was_given(write, monkeypatch):
    with pytest.raises(UsageError, match=r"with --device-option prot=22: unknown key prot\. Did you mean port"):
        load_profile(write(PROFILE), ("prot=22",))
    monkeypatch.setenv("EDGEKIT_MINE_PORT", "many")
    with pytest.raises(UsageError, match="with EDGEKIT_MINE_PORT=many, key port: "):
        load_profile(write(PROFILE))
    assert load_profile(write(PROFILE), ("port=22",)).port == 22


def test_a_profile_that_is_found_by_name_has_its_files_name(write, monkeypatch, tmp_path):
    file = write(PROFILE.replace("mine", "theirs"))
    assert load_profile(file).name == "theirs"
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    with pytest.raises(UsageError, match=r"mine\.yaml is found as mine, and its `name` is theirs") as raised:
        load_profile("mine")
    assert "Call the file theirs.yaml" in raised.value.failure.hint
    write(PROFILE)
    assert load_profile("mine").name == "mine"


@pytest.mark.parametrize("name", known_profiles())
def test_every_device_that_may_heat_up_has_a_limit(name):
    profile = load_profile(name)
    assert (profile.max_temperature_c is not None) == (profile.kind in {"android", "linux"})


def test_each_kind_has_options_of_its_own(write):
    assert isinstance(load_profile(write(PROFILE)), LinuxProfile)
    assert load_profile("host").runner == "python"
    assert load_profile("mac").compute_units == "all"
    assert load_profile("mac", ("kind=iphone", "development_team='0123456789'")).development_team == "0123456789"


@pytest.mark.parametrize("name", known_profiles())
def test_editors_accept_every_profile_of_edgekits(name):
    schema = json.loads(committed("device_profile").read_text())
    written = YAML(typ="safe").load(known_profiles()[name])
    jsonschema.validate(written, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "prot": 22}, schema)
    jsonschema.validate({**written, "kind": "toaster", "prot": 22}, schema)


OLD = {"connection": "usb", "serial": None, "host": "10.0.0.7", "port": None, "user": "pi", "key": None}
OLD |= {"known_hosts": None, "folder": None, "runner": "python", "compute_units": "all", "development_team": None}


def test_a_profile_that_an_older_edgekit_stored_is_read():
    """It has the options of every kind."""
    stored = {**load_profile("raspberry-pi-5").model_dump(mode="json"), **OLD}
    profile = stored_profile(stored)
    assert (profile.host, profile.user, profile.runner) == ("10.0.0.7", "pi", "python")
    assert not hasattr(profile, "compute_units")
    assert stored_profile(profile.model_dump(mode="json")) == profile


def test_a_stored_profile_that_does_not_fit_says_that_its_run_cannot_be_resumed():
    stored = {**load_profile("raspberry-pi-5").model_dump(mode="json"), **OLD, "compute_units": "cpu_only"}
    with pytest.raises(UsageError, match="That run's plan cannot be read") as raised:
        Sweep.read({"recipes": [], "devices": [stored], "protocol": None, "photos": None})
    assert "Start a new run" in raised.value.failure.hint


@pytest.mark.parametrize(
    ("runs", "target", "times"),
    [
        (["tflite"], "tflite/xnnpack/int8", True),
        (["tflite/xnnpack"], "tflite/xnnpack/int8", True),
        (["tflite"], "tflite/gpu/fp32", False),
        (["tflite"], "executorch/xnnpack/fp32", False),
        (["coreml"], "coreml/-/fp16", True),
    ],
)
def test_a_runner_times_only_the_delegates_that_it_declares(runs, target, times):
    profile = stored_profile({"name": "mine", "kind": "host", "runs": runs})
    assert profile.times(Target.parse(target)) == times
    assert list(profile.timings(Target.parse(target))) == ([target] if times else [])


def test_why_an_artifact_is_only_compiled_is_said():
    profile = stored_profile({"name": "mine", "kind": "host", "runs": ["tflite", "coreml/-"]})
    assert profile.backends == ("tflite", "coreml")
    assert profile.why_not(Target.parse("tflite/gpu/fp32")) == "the runner of mine for tflite times xnnpack, not gpu"
    assert profile.why_not(Target.parse("executorch/xnnpack/fp32")) == "mine runs tflite, coreml/-"
