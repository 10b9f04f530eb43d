"""Recipes that explain themselves, beyond test_recipe.py: overrides, nested keys, types as written, targets, key maps."""

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import FailureKind, UsageError
from edgekit.recipe.loading import load_recipe

RECIPE = """\
name: mine
architecture: mobilenet_v1
model: {resolution: 96, padding: same, batch_norm_epsilon: 0.001}
weights: {random: 0}
preprocessing:
  crop_fraction: 0.875
  interpolation: bilinear
  mean:
    - 0
    - 0
    - 0
  std: [1, 1, 1]
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return written


def failure_of(path, *overrides):
    with pytest.raises(UsageError) as raised:
        load_recipe(path, overrides)
    return raised.value.failure


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.widht=0.5",
            " with --set model.widht=0.5, key model.widht: mobilenet_v1 takes no widht; its options: width, depth. "
            "Did you mean width?",
        ),
        ("modle.width=1", " with --set modle.width=1: unknown key modle. Did you mean model?"),
        ("model.width=0", " with --set model.width=0, key model.width: Input should be greater than 0."),
        ("weights.url=x", " with --set weights.url=x, key weights: give either random or url"),
        (
            "model.resolution=31",
            " with --set model.resolution=31, key model.resolution: Input should be greater than or",
        ),
        ("name=../x", " with --set name=../x, key name: write a name: a-z, 0-9"),
        ("name=" + "x" * 101, "key name: write a name: "),
        ("weights={file: /etc/passwd, sha256: 0123abcd}", "key weights.file: write only the name of a file that was"),
        ("weights={file: x, sha256: a123}", "key weights.sha256: write 8 to 64 hexadecimal digits"),
        ("weights.random=99999999999999999999", "key weights.random: Input should be less than 9223372036854775808."),
        ("weights.new_head=-1", "key weights.new_head: Input should be greater than or equal to 0."),
        ("published.model=MobilenetV1", "there are no published figures of MobilenetV1. Did you mean MobileNetV1?"),
        ("targets=[coreml/-/fp16, coreml/-/fp16]", "key targets: a target is listed twice: coreml/-/fp16"),
        ("model={width: 1}", " with --set model={width: 1}, key model.resolution: Field required."),
        ("null=3", " with --set null=3: unknown key null. "),
        ("published.variant=x", " with --set published.variant=x, key published.model: Field required."),
        ('expect."1.0/96".parameters=3', ".parameters=3, key expect.1.0/96.multiply_adds: Field required."),
        ("targets=[tflite/xnnpack/int4]", "key targets: No backend compiles tflite/xnnpack/int4; the nearest"),
    ],
)
def test_an_error_that_an_override_makes_names_the_override_and_no_line(write, override, said):
    failure = failure_of(write(RECIPE), override)
    assert failure.message.startswith(write(RECIPE))
    assert said in failure.message
    assert "line" not in failure.message
    assert failure.kind == FailureKind.recipe


@pytest.mark.parametrize(
    ("change", "override", "said"),
    [
        (
            "architecture: inception_v3",
            "model.resolution=64",
            "key model.resolution: inception_v3 takes no input of 64",
        ),
        (
            "architecture: mobilenet_v1",
            "model.groups=3",
            "key model.groups: mobilenet_v1 takes no groups; its options: ",
        ),
        ("architecture: lraspp_mobilenet_v2", "weights.new_head=1", "key weights"),
    ],
)
def test_what_does_not_fit_the_architecture_names_its_own_key(write, change, override, said):
    failure = failure_of(write(RECIPE.replace("architecture: mobilenet_v1", change)), override)
    assert f" with --set {override}, {said}" in failure.message


def test_a_size_in_the_file_that_is_not_taken_names_its_line(write):
    text = RECIPE.replace("mobilenet_v1", "inception_v3").replace("resolution: 96", "resolution: 64")
    assert "line 3, key model.resolution: inception_v3 takes no input of 64 pixels" in failure_of(write(text)).message


@pytest.mark.parametrize("grids", ["[]", "[{width: [0]}]", "[{widht: [1]}]", "[3]"])
def test_a_wrong_sweep_is_one_error_in_the_words_of_yaml(write, grids):
    message = failure_of(write(RECIPE), f"sweep={{grids: {grids}}}").message
    assert len(message.splitlines()) == 1
    assert "Tuple" not in message


def test_one_limit_of_parity_is_set_alone(write):
    recipe = load_recipe(write(RECIPE), ("parity.fp32.max_absolute=0.1", "parity.int8.min_snr_db=1"))
    assert recipe.parity.model_dump() == {
        "fp32": {"max_absolute": 0.1, "max_relative": 1e-4},
        "fp16": {"max_absolute": 0.5, "max_relative": 0.1},
        "int8": {
            "min_snr_db": 1.0,
            "min_agreement": 0.95,
            "max_ties": 0.05,
            "max_saturation": 0.1,
            "min_layer_db": 33.0,
            "min_snr_db_random": 3.0,
        },
    }


def test_of_two_overrides_of_one_key_the_last_is_named(write):
    message = failure_of(write(RECIPE), "model.width=0.5", "model.width=abc").message
    assert " with --set model.width=abc, key model.width: " in message


def test_a_key_with_dots_is_set_in_quotes(write):
    recipe = load_recipe(
        write(RECIPE), ('expect."1.0/96"={parameters: 1, multiply_adds: 2}', 'expect."1.0/96".parameters=3')
    )
    assert recipe.expectation.model_dump() == {"parameters": 3, "multiply_adds": 2}


@pytest.mark.parametrize("override", ["model.width", "=1", "a..b=1", '"a=1', ".a=1"])
def test_what_is_no_key_and_value_is_told(write, override):
    assert f"--set {override}: write KEY=VALUE." in failure_of(write(RECIPE), override).message


def test_an_error_of_the_file_is_not_blamed_on_an_override(write):
    failure = failure_of(write(RECIPE.replace("padding: same", "padding: sme")), "model.width=0.5")
    assert "line 3, key model.padding: Input should be 'same' or 'torch'." in failure.message
    assert "--set" not in failure.message


@pytest.mark.parametrize("override", ["model.width=[", "name=a: b: c", "name=2024-13-45"])
def test_an_override_that_is_not_yaml_says_so_and_not_of_the_file(write, override):
    failure = failure_of(write(RECIPE), override)
    assert failure.message.startswith(f"--set {override}: the value is not YAML: ")
    assert failure.hint


@pytest.mark.parametrize(
    ("addition", "said"),
    [
        ("published: {model: x, varaint: y}", "line 13: unknown key published.varaint. Did you mean variant?"),
        ("parity: {itn8: {}}", "line 13: unknown key parity.itn8. Did you mean int8?"),
        (
            "expect:\n  1.0/96: {parameters: 1, multiply_adds: 1, layers: 1}",
            "line 14: unknown key expect.1.0/96.layers. Known: multiply_adds, parameters.",
        ),
        ("expect: {parameters: {layers: 1}}", "line 13: unknown key expect.parameters.layers. Known: multiply_adds"),
        ("expect:\n  1.0/96: {parameters: 0, multiply_adds: 1}", "line 14, key expect.1.0/96.parameters: Input should"),
        (
            "expect:\n  1.0/96: {parameters: 1, multiply_adds: 1}\n  '1/96/depth=[1': {parameters: 1, multiply_adds: 1}",
            "line 15, key expect.1/96/depth=[1: '1/96/depth=[1' is not a variant: the value of an option is not YAML.",
        ),
        ("expect:\n  1/96/depth=*a: {parameters: 1, multiply_adds: 1}", "line 14, key expect.1/96/depth=*a: "),
        ("parity: {int8: {min_snr_db: 3, min_agreement: 25}}", "key parity.int8.min_agreement: Input should"),
        (
            "parity: {fp32: {max_absolute: .nan, max_relative: 1}}",
            "key parity.fp32.max_absolute: Input should be a finite",
        ),
        ("targets: tflite/xnnpack/int8", "line 13, key targets: write a list here: [a, b]."),
        (
            "targets:\n  - tflite/xnnpack/int4",
            "line 13, key targets: No backend compiles tflite/xnnpack/int4; the nearest",
        ),
        ("targets: [tflt/xnnpack/int8]", "the nearest target is tflite/xnnpack/int8. Known targets: "),
        ("7: seven", "line 13: unknown key 7. "),
        ("null: 3", "line 13: unknown key null. "),
        ("true: 3", "line 13: unknown key true. "),
        ("published:\n  variant: x", "line 13, key published.model: Field required."),
        ("parity: 3", "line 13, key parity: write keys and values here, not one value."),
        ("name: again", 'line 13: this is not YAML: found duplicate key "name"'),
        ("published: {model: 2024-13-45}", "this is not YAML: month must be in 1..12."),
        ("description: \x01", "this is not YAML: unacceptable character"),
    ],
)
def test_nested_keys_and_odd_files_get_the_line_and_the_nearest_name(write, addition, said):
    assert said in failure_of(write(RECIPE + addition + "\n")).message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("resolution: 96", "resolution: 96, classes: true"),
            "line 3, key model.classes: Input should be a valid integer.",
        ),
        (
            ("resolution: 96", 'resolution: 96, width: "1.0"'),
            "line 3, key model.width: Input should be a valid number.",
        ),
        (("name: mine", "name: 1"), "line 1, key name: write text here, in quotes if it looks like a number."),
        (("    - 0\n  std", "    - a\n  std"), "line 11, key preprocessing.mean.2: Input should be a valid number."),
        (
            ("{random: 0}", '{url: model.pth, sha256: "01234567"}'),
            "line 4, key weights: url is 'model.pth'; write the whole",
        ),
        (("{random: 0}", "{url: 'https://x', sha256: 01234567}"), "line 4, key weights.sha256: write text here"),
        (
            ("{random: 0}", "{url: 'https://x', sha256: b0353104, key_map: torchvision_mobilenet_v3_smal}"),
            "line 4, key weights.key_map: unknown key map torchvision_mobilenet_v3_smal. "
            "Did you mean torchvision_mobilenet_v3_small?",
        ),
        (
            ("{random: 0}", "{random: 0, fallback: {randm: 1}}"),
            "unknown key weights.fallback.randm. Did you mean random?",
        ),
    ],
)
def test_types_are_taken_as_written_and_names_are_looked_up(write, change, said):
    text = RECIPE.replace(*change)
    assert text != RECIPE
    assert said in failure_of(write(text)).message


def test_a_path_with_dots_is_printed_as_it_was_given(write, tmp_path, monkeypatch):
    write(RECIPE.replace("mobilenet_v1", "mobilenet_v11"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    message = failure_of("../mine.yaml").message
    assert (
        message
        == "../mine.yaml, line 2, key architecture: unknown architecture mobilenet_v11; did you mean mobilenet_v1?"
    )


def test_a_target_of_somebody_elses_backend_is_accepted(write, monkeypatch):
    from edgekit.backends import base
    from edgekit.target import Target

    class Else:
        targets = (Target("else", "cpu", "fp32"),)

    monkeypatch.setattr(base, "backends", lambda: {"else": Else()})
    assert load_recipe(write(RECIPE), ("targets=[else/cpu/fp32]",)).targets == ("else/cpu/fp32",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("# " + "x" * 300_000, "A recipe or profile has at most"),
    ],
)
def test_a_bomb_without_aliases_is_refused_at_once(tmp_path, text, said):
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        load_recipe(str(tmp_path / "bomb.yaml"))


@pytest.mark.parametrize("override", ["weights=&a {x: *a}", "name=*x"])
def test_an_alias_in_an_override_is_refused_as_in_a_file(write, override):
    assert f"--set {override}: aliases (*" in failure_of(write(RECIPE), override).message


def test_a_deeply_nested_override_is_refused():
    with pytest.raises(UsageError, match="the value is not YAML"):
        load_recipe("v1", ("model=" + "[" * 3000 + "]" * 3000,))


@pytest.mark.parametrize(
    "arguments",
    [
        ("profile", "--recipes", "", "--devices", "host"),
        ("compile", "v1", "--targets", " , "),
        ("compile", "v1", "--photos", ""),
        ("compile", "v1", "--ledger", ""),
        ("deploy", "v1", "--device", ""),
        ("deploy", "v1", "--device", "host", "--protocol", ""),
        ("scale", "efficientnet_b0", "--phi", "1", "--output", ""),
    ],
)
def test_an_empty_list_is_not_everything(arguments):
    done = CliRunner().invoke(cli, arguments)
    assert isinstance(done.exception, UsageError)
    assert "is empty" in str(done.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("deploy", "v1", "--device", "host", "--device", "pixel"),
        ("export", "v1", "--target", "coreml/-/fp16", "--target", "tflite/xnnpack/fp32"),
    ],
)
def test_an_option_that_stands_twice_does_not_lose_its_first_value(arguments):
    done = CliRunner().invoke(cli, arguments)
    assert isinstance(done.exception, UsageError)
    assert "was given 2 times" in str(done.exception)
