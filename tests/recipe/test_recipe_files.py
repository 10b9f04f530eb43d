import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from edgekit.architectures.registry import ARCHITECTURES
from edgekit.errors import UsageError
from edgekit.inspection import inspect
from edgekit.recipe.files import list_recipes, new_recipe
from edgekit.recipe.loading import known_recipes, load_recipe
from edgekit.target import KNOWN_TARGETS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_new_recipe_of_every_architecture_loads_and_keeps_its_contract(folder, architecture):
    path = new_recipe("mine", architecture)
    assert path == Path("recipes/mine.yaml")
    recipe = load_recipe("mine")
    assert (recipe.name, recipe.architecture) == ("mine", architecture)
    assert inspect(recipe).contract == "met"
    assert path.read_text().count("#") > 10


def test_a_new_recipe_is_built_as_the_shipped_one_is(folder):
    shipped = load_recipe(str(known_recipes()["v3_small_minimalistic"]))
    new_recipe("mine", "mobilenet_v3_small_minimalistic")
    assert load_recipe("mine").preprocessing == load_recipe(str(known_recipes()["v3_small"])).preprocessing
    new_recipe("slim", "mobilenet_v1")
    assert load_recipe("slim").model == load_recipe("v1").model
    assert load_recipe("slim").preprocessing == load_recipe("v1").preprocessing
    assert load_recipe("slim").expectation == load_recipe("v1").expectation
    assert load_recipe("mine").expectation == shipped.expectation


@pytest.mark.parametrize(
    ("architecture", "resolution"), [("inception_v3", 299), ("ssd300_vgg16", 300), ("resnet18", 224)]
)
def test_a_new_recipe_has_the_size_that_its_architecture_is_published_at(folder, architecture, resolution):
    new_recipe("mine", architecture)
    assert load_recipe("mine").model.resolution == resolution


def test_a_new_recipe_hides_no_other_unless_it_is_asked_to(folder):
    with pytest.raises(UsageError, match="There is a recipe named v1 already: "):
        new_recipe("v1", "mobilenet_v1")
    assert not Path("recipes").exists()
    assert new_recipe("v1", "mobilenet_v1", Path("recipes/v1.yaml")).is_file()


def test_what_is_commented_out_in_a_new_recipe_is_valid_too(folder):
    text = new_recipe("mine", "mobilenet_v3_large").read_text()
    with_targets = re.sub(r"(?m)^# (targets:|  - )", r"\1", text)
    Path("targets.yaml").write_text(with_targets)
    assert load_recipe("targets.yaml").targets == KNOWN_TARGETS
    assert "\ntargets:" in with_targets
    with_checkpoint = text.replace("  random: 0\n", "").replace("  # ", "  ")
    Path("checkpoint.yaml").write_text(with_checkpoint)
    weights = load_recipe("checkpoint.yaml").weights
    assert (weights.url, weights.sha256) == ("https://example.org/model.pth", "0123abcd")
    assert weights.fallback.random == 0


def test_a_new_recipe_goes_where_it_is_asked_for_and_overwrites_nothing(folder):
    path = new_recipe("mine", "mobilenet_v1", Path("deep/down.yaml"))
    assert load_recipe(str(path)).name == "mine"
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"deep/down\.yaml exists already"):
        new_recipe("mine", "mobilenet_v1", path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["2024", "true", "1.5", "null"])
def test_a_name_that_yaml_would_read_as_something_else_is_quoted(folder, name):
    assert load_recipe(str(new_recipe(name, "mobilenet_v1"))).name == name


@pytest.mark.parametrize("name", ["Mine", "a/b", "", "-x", "mine.yaml", "a b"])
def test_a_name_that_cannot_be_looked_up_is_refused(folder, name):
    with pytest.raises(UsageError, match="is not a name for a recipe"):
        new_recipe(name, "mobilenet_v1")
    assert not list(folder.iterdir())


def test_an_unknown_architecture_names_the_nearest(folder):
    with pytest.raises(UsageError, match="Unknown architecture mobilenet_v22") as raised:
        new_recipe("mine", "mobilenet_v22")
    assert raised.value.failure.hint == "Did you mean mobilenet_v2?"


def test_a_place_that_cannot_be_written_says_so(folder):
    (folder / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/mine\.yaml cannot be written"):
        new_recipe("mine", "mobilenet_v1", Path("file/mine.yaml"))


def test_the_list_says_what_a_recipe_is_and_where():
    lines = {line.name: line for line in list_recipes().recipes}
    assert list(lines) == sorted(lines)
    assert lines["v1"].weights == "random(0)"
    assert lines["v2"].weights == "checkpoint"
    assert lines["v3_large"].weights == "checkpoint, else random(0)"
    assert lines["v3_large"].description == "MobileNetV3-Large 1.0/224"
    assert (lines["v2"].variant, lines["v2"].file) == ("1.0/224", "recipes/v2.yaml")


def test_a_broken_recipe_is_a_line_of_the_list(folder):
    (folder / "recipes").mkdir()
    (folder / "recipes/broken.yaml").write_text("name: [")
    broken, *others = list_recipes().recipes
    assert broken.name == "broken"
    assert "recipes/broken.yaml, line 1: this is not YAML" in broken.problem
    assert {"v1", "v2"} <= {line.name for line in others}
    assert not any(line.problem for line in others)


def test_the_schema_for_editors_takes_every_recipe_and_names_what_it_refuses(folder):
    schemas = Path(__file__).parents[2] / "edgekit/schemas"
    schema = json.loads((schemas / "recipe.schema.json").read_text())
    new_recipe("mine", "mobilenet_v2")
    for path in known_recipes().values():
        jsonschema.validate(YAML(typ="safe").load(path), schema)
    broken = YAML(typ="safe").load(Path("recipes/mine.yaml")) | {"architecture": "mobilenet_v22"}
    with pytest.raises(jsonschema.ValidationError, match="mobilenet_v22"):
        jsonschema.validate(broken, schema)
