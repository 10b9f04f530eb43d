import csv

import pytest
import torch

from edgekit.models import ARCHITECTURES, build
from edgekit.models.blocks import Conv2dSame, make_divisible, settle_batch_norm
from edgekit.models.cost import cost
from edgekit.models.weights import read_key_map
from edgekit.recipe import known_recipes, load_recipe

CONTRACTS = [(name, variant) for name in sorted(known_recipes()) for variant in load_recipe(name).expect]


def settings(variant, rectangular):
    """The overrides that make a recipe build a variant of its contract."""
    width, resolution, *rest = variant.split("/")
    height, _, input_width = resolution.partition("x")
    options = [one if "=" in one else f"classes={one}" for one in rest]
    sides = [f"resolution={height}"] + ([f"input_width={input_width or height}"] if rectangular else [])
    return [f"model.{setting}" for setting in (f"width={width}", *sides, *options)]


@pytest.mark.parametrize(("name", "variant"), CONTRACTS)
def test_every_contract_of_every_recipe_is_met_to_the_unit(name, variant):
    recipe = load_recipe(name, (*settings(variant, load_recipe(name).model.input_width), "weights={random: 0}"))
    assert recipe.model.variant == variant
    counted = cost(recipe.architecture, recipe.model.size, **recipe.model.architecture_arguments())
    assert (counted.parameters, counted.multiply_adds) == (
        recipe.expect[variant].parameters,
        recipe.expect[variant].multiply_adds,
    )


def test_shares_by_layer_type_are_those_of_the_v1_papers_table_2():
    counted = cost("mobilenet_v1", 224)
    shares = {name: work / counted.multiply_adds for name, (_, work) in counted.by_operator().items()}
    assert shares["conv 1x1"] == pytest.approx(0.9486, abs=5e-5)
    assert shares["depthwise 3x3"] == pytest.approx(0.0306, abs=5e-5)
    assert shares["linear"] == pytest.approx(0.0018, abs=5e-5)
    assert shares["conv 3x3"] == pytest.approx(0.0191, abs=5e-5)  # the paper prints 1.19 %, a typing error


@pytest.mark.parametrize(
    "architecture", sorted(name for name in ARCHITECTURES if ARCHITECTURES[name].task == "classification")
)
@pytest.mark.parametrize("padding", ["same", "torch"])
def test_any_width_resolution_class_count_and_padding_computes(architecture, padding):
    model = build(architecture, width=0.35, classes=7, padding=padding, batch_norm_epsilon=1e-3)
    logits = model(torch.zeros(2, 3, 75, 75))  # odd on purpose
    assert logits.shape == (2, 7)
    assert {module.eps for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {1e-3}


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 3, 2, 0, 1), (7, 3, 2, 1, 1), (8, 5, 2, 1, 2), (8, 3, 1, 1, 1)],
)
def test_same_padding_is_tensorflows(size, kernel, stride, before, after):
    same = Conv2dSame(1, 1, kernel, stride, bias=False)
    image = torch.randn(1, 1, size, size)
    padded = torch.nn.functional.pad(image, (before, after, before, after))
    expected = torch.nn.functional.conv2d(padded, same.weight, stride=stride)
    assert same(image).shape[-1] == -(-size // stride)
    torch.testing.assert_close(same(image), expected)


@pytest.mark.parametrize(
    ("channels", "expected"), [(16, 16), (12, 16), (11.2, 16), (33.6, 32), (8.4, 8), (3, 8), (90, 88)]
)
def test_make_divisible(channels, expected):
    assert make_divisible(channels) == expected
    assert make_divisible(channels) >= 0.9 * channels


@pytest.mark.parametrize("architecture", ["mobilenet_v3_large", "mobilenet_v3_small"])
def test_torchvisions_v3_keys_and_shapes_map_onto_ours(architecture):
    rows = read_key_map(f"torchvision_{architecture}")
    ours = {key: "x".join(map(str, value.shape)) for key, value in build(architecture).state_dict().items()}
    assert {row["edgekit"]: row["shape"] for row in rows} == ours
    assert len({row["torchvision"] for row in rows}) == len(rows)
    assert any(row["torchvision"] != row["edgekit"] for row in rows)


def test_settling_gives_plausible_activations_and_leaves_eval_mode():
    torch.manual_seed(0)
    model, images = build("mobilenet_v2", width=0.35), torch.randn(8, 3, 64, 64)
    before = model(images).std()
    settle_batch_norm(model, images)
    assert not model.training
    assert model(images).std() > 10 * before
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))


def test_key_maps_are_csv_with_three_columns():
    from importlib.resources import files

    for file in (files("edgekit.models") / "keymaps").iterdir():
        header = next(csv.reader(file.read_text().splitlines()))
        assert header == ["torchvision", "shape", "edgekit"]
