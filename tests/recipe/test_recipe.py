import pytest

from edgekit.errors import FailureKind, UsageError
from edgekit.recipe.loading import known_recipes, load_recipe
from edgekit.recipe.schema import Recipe

RECIPE = """\
name: mine
architecture: mobilenet_v1
model: {resolution: 96, padding: same, batch_norm_epsilon: 0.001}
weights: {random: 0}
preprocessing: {crop_fraction: 0.875, interpolation: bilinear, mean: [0, 0, 0], std: [1, 1, 1]}
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return written


def test_the_built_in_recipes_are_found_by_name_and_by_path():
    names = {"v1", "v2", "v3_large", "v3_small", "v3_large_minimalistic", "v3_small_minimalistic"}
    assert names <= known_recipes().keys()
    assert load_recipe("v2") == load_recipe("recipes/v2.yaml")


def test_the_hash_ignores_order_and_comments_and_sees_every_value(write):
    original = load_recipe(write(RECIPE)).hash
    assert load_recipe(write("# a comment\n" + "\n".join(reversed(RECIPE.splitlines())))).hash == original
    assert load_recipe(write(RECIPE.replace("96", "128"))).hash != original


def test_targets_change_the_hash_but_not_what_is_built(write):
    one, two = load_recipe(write(RECIPE)), load_recipe(write(RECIPE + "targets: [coreml/-/fp16]\n"))
    assert one.hash != two.hash
    assert one.build_hash == two.build_hash


def test_an_override_changes_the_variant(write):
    recipe = load_recipe(write(RECIPE), ("model.width=0.75", "targets=[tflite/xnnpack/int8]"))
    assert recipe.model.variant == "0.75/96"
    assert recipe.targets == ("tflite/xnnpack/int8",)


@pytest.mark.parametrize("variant", ["1/96", "1.00/96", "1.0/96/1000"])
def test_a_contract_is_found_however_its_variant_is_written(write, variant):
    recipe = load_recipe(write(RECIPE + f"expect: {{{variant}: {{parameters: 1, multiply_adds: 2}}}}\n"))
    assert recipe.expectation.parameters == 1


def test_a_variant_that_stands_twice_is_an_error(write):
    with pytest.raises(UsageError, match="twice"):
        load_recipe(
            write(
                RECIPE
                + "expect: {1/96: {parameters: 1, multiply_adds: 2}, 1.0/96: {parameters: 3, multiply_adds: 4}}\n"
            )
        )


def test_another_class_count_has_no_contract():
    recipe = load_recipe("v1", ("model.classes=10",))
    assert recipe.model.variant == "1.0/224/10"
    assert recipe.expectation is None


def test_overriding_a_model_with_real_weights_asks_for_random_ones():
    with pytest.raises(UsageError, match="real weights") as raised:
        load_recipe("v2", ("model.width=0.75",))
    assert "weights={random: 0}" in raised.value.failure.hint
    assert load_recipe("v2", ("model.width=0.75", "weights={random: 3}")).weights.random == 3


def test_with_a_new_head_the_number_of_classes_may_be_overridden_and_nothing_else():
    assert load_recipe("v2", ("model.classes=7", "weights.new_head=3")).model.classes == 7
    for overrides in (("model.classes=7",), ("model.classes=7", "model.width=0.75", "weights.new_head=3")):
        with pytest.raises(UsageError, match="real weights") as raised:
            load_recipe("v2", overrides)
        assert "weights.new_head=0" in raised.value.failure.hint


def test_mirrors_change_no_artifact_and_a_new_head_does():
    plain, mirrored, head = (
        load_recipe("v2", overrides).build_hash
        for overrides in ((), ("weights.mirrors=['https://example.org/net.pth']",), ("weights.new_head=0",))
    )
    assert plain == mirrored != head


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("{random: 0, new_head: 0}", "not both"),
        ("{random: 0, mirrors: ['https://example.org/net.pth']}", "not both"),
        ("{url: 'https://a.org/n', sha256: '00000000', mirrors: [n.pth]}", "url is 'n.pth'"),
        ("{url: 'https://[a/n', sha256: '00000000'}", "Invalid IPv6 URL"),
        ("{file: n.pth, sha256: '00000000', mirrors: ['https://a.org/n']}", "a file has none"),
    ],
)
def test_weights_that_make_no_sense_are_told(weights, said):
    with pytest.raises(UsageError, match=said):
        load_recipe("v1", (f"weights={weights}",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("resolution: 96", "resolutoin: 96"),
            "key model.resolution: Field required. Is resolutoin a misspelling of it?",
        ),
        (
            ("mobilenet_v1", "mobilenet_v11"),
            "line 2, key architecture: unknown architecture mobilenet_v11; did you mean mobilenet_v1?",
        ),
        (
            ("resolution: 96", "resolution: 7"),
            "line 3, key model.resolution: Input should be greater than or equal to 32",
        ),
        (("resolution: 96", "resolution: big"), "line 3, key model.resolution"),
        (("{random: 0}", "{random: 0, url: x}"), "line 4, key weights: give either random or url"),
        (("{random: 0}", "{sha256: b0353104}"), "line 4, key weights: give url and sha256"),
        (("weights: {random: 0}\n", ""), "key weights: Field required"),
        (("name: mine", "name: mine\ntargets: [tflite/fp32]"), "line 2, key targets: 'tflite/fp32' is not a target"),
        (("name: mine", "name: mine\nexpect: {big: {parameters: 1, multiply_adds: 1}}"), "'big' is not a variant"),
        (("name: mine", "name: &a mine\ndescription: *a"), "line 2: aliases"),
        (("name: mine", "name: [mine"), "this is not YAML"),
        (("name: mine", "\tname: mine"), "this is not YAML"),
    ],
)
def test_errors_name_file_line_key_and_the_nearest_name(write, change, said):
    path = write(RECIPE.replace(*change))
    with pytest.raises(UsageError) as raised:
        load_recipe(path)
    assert raised.value.failure.message.startswith(path)
    assert said in raised.value.failure.message
    assert raised.value.failure.kind == FailureKind.recipe


@pytest.mark.parametrize("override", ["width", "=3", "name.first=x"])
def test_an_override_that_cannot_be_says_so(write, override):
    with pytest.raises(UsageError, match="--set"):
        load_recipe(write(RECIPE), (override,))


def test_a_missing_recipe_names_the_nearest():
    with pytest.raises(UsageError, match="no recipe named v3_larg") as raised:
        load_recipe("v3_larg")
    assert raised.value.failure.hint == "Did you mean v3_large?"
    with pytest.raises(UsageError, match=r"no recipe at recipes/none\.yaml"):
        load_recipe("recipes/none.yaml")


def test_recipes_are_looked_up_in_named_folders(write, tmp_path, monkeypatch):
    write(RECIPE)
    monkeypatch.setenv("EDGEKIT_RECIPES", str(tmp_path))
    assert load_recipe("mine").model.resolution == 96


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not a recipe or device profile: it is not text"):
        load_recipe(str(path))


def test_a_rectangular_variant_is_height_x_width_and_options_follow(write):
    text = RECIPE.replace("mobilenet_v1", "lraspp_mobilenet_v2").replace(
        "96,", "96, input_width: 160, classes: 19, reduced: false,"
    )
    recipe = load_recipe(write(text + "expect: {1/96x160/19/reduced=false: {parameters: 1, multiply_adds: 1}}\n"))
    assert recipe.model.size == (96, 160)
    assert recipe.model.variant == "1.0/96x160/19/reduced=false"
    assert recipe.expectation is not None


def test_a_square_written_as_a_rectangle_is_the_square(write):
    text = RECIPE.replace("resolution: 96", "resolution: 96, input_width: 96")
    recipe = load_recipe(write(text + "expect: {1.0/96x96: {parameters: 1, multiply_adds: 1}}\n"))
    assert recipe.model.variant == "1.0/96"
    assert recipe.expectation is not None


def test_a_checkpoint_without_an_address_is_named_as_a_file(write):
    weights = "{file: mine.safetensors, sha256: 0123abcd}"
    recipe = load_recipe(write(RECIPE.replace("{random: 0}", weights)))
    assert recipe.weights.urls == ()
    with pytest.raises(UsageError, match="has real weights"):
        load_recipe(write(RECIPE.replace("{random: 0}", weights)), ("model.width=0.5",))
    with pytest.raises(UsageError, match="either url or file"):
        load_recipe(write(RECIPE.replace("{random: 0}", weights.replace("{", "{url: 'https://a.b/c', "))))


def test_a_missing_file_says_how_to_get_it(write, tmp_path, monkeypatch):
    from edgekit.errors import EdgekitError
    from edgekit.weights.checkpoints import resolve

    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    with pytest.raises(EdgekitError, match="have no address") as error:
        resolve(load_recipe(write(RECIPE.replace("{random: 0}", "{file: mine.bin, sha256: 0123abcd}"))).weights)
    assert "make weights" in error.value.failure.hint


def test_a_new_head_is_for_classifiers(write):
    text = RECIPE.replace("mobilenet_v1", "ssdlite_mobilenet_v2").replace(
        "{random: 0}", "{file: mine.bin, sha256: 0123abcd, new_head: 0}"
    )
    with pytest.raises(UsageError, match="made for detection"):
        load_recipe(write(text))


def test_a_size_that_is_not_taken_names_the_smallest():
    from edgekit.architectures.registry import Architecture

    known = Architecture("any", smallest=300)
    assert known.problem(300) == known.problem((332, 364)) == ""
    assert "the smallest is 300" in known.problem((332, 299))


@pytest.mark.parametrize(
    "written", ["1/513/21/aspp=false/output_stride=8", "1.0/513x513/21/output_stride=8/aspp=False"]
)
def test_options_of_a_contract_are_found_in_any_order_and_spelling(written):
    recipe = load_recipe("deeplabv3_v2", ("model.aspp=false", "model.output_stride=8"))
    assert recipe.expectation
    assert Recipe.model_validate({**recipe.model_dump(), "expect": {written: recipe.expectation}}).expectation


def test_an_option_that_a_contract_cannot_have_is_told(write):
    with pytest.raises(UsageError, match=r"'1.0/224/deep=2' is not a variant: mobilenet_v1 takes no deep"):
        load_recipe(write(RECIPE + "expect: {1.0/224/deep=2: {parameters: 1, multiply_adds: 1}}\n"))
