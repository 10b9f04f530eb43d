"""Device profiles explain themselves as recipes do; an address may come from the environment."""

import pytest

from edgekit.devices.profile import known_profiles, load_profile
from edgekit.errors import UsageError

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
    ],
)
def test_what_is_wrong_names_line_key_and_the_nearest_name(write, text, said):
    with pytest.raises(UsageError) as raised:
        load_profile(write(text))
    assert said in raised.value.failure.message


def test_what_the_user_gave_elsewhere_is_told_as_it_was_given(write, monkeypatch):
    with pytest.raises(UsageError, match=r"with --device-set prot=22: unknown key prot\. Did you mean port"):
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
