import csv

import pytest
import torch
from pydantic import ValidationError

from edgekit.architectures.blocks import (
    Conv2dSame,
    Convention,
    ShuffleChannels,
    deepened,
    make_divisible,
    max_pool,
    settle_batch_norm,
)
from edgekit.architectures.cost import cost
from edgekit.architectures.key_maps import read_key_map
from edgekit.architectures.registry import ARCHITECTURES, build
from edgekit.errors import UsageError
from edgekit.recipe.loading import known_recipes, load_recipe
from edgekit.recipe.schema import Recipe

LEAST_RESOLUTION = 32  # of every recipe
CLASSIFIERS = sorted(name for name, known in ARCHITECTURES.items() if known.task == "classification")
CONTRACTS = [(name, variant) for name in sorted(known_recipes()) for variant in load_recipe(name).expect]


def settings(variant, rectangular):
    """The overrides that make a recipe build a variant of its contract."""
    width, resolution, *rest = variant.split("/")
    height, _, input_width = resolution.partition("x")
    classes = next((one for one in rest if one.isdigit()), "1000")
    options = [one for one in rest if "=" in one]
    sides = [f"resolution={height}"] + ([f"input_width={input_width or height}"] if rectangular else [])
    return [f"model.{setting}" for setting in (f"width={width}", *sides, f"classes={classes}", *options)]


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


@pytest.mark.parametrize("architecture", CLASSIFIERS)
@pytest.mark.parametrize("padding", ["same", "torch"])
def test_any_width_resolution_class_count_and_padding_computes(architecture, padding):
    known = ARCHITECTURES[architecture]
    width = {"width": 0.5 if architecture == "shufflenet_v2" else 0.35} if "width" in known.options else {}
    with torch.device("meta"):
        model = build(architecture, **width, classes=7, padding=padding, batch_norm_epsilon=1e-3)
        logits = model(torch.zeros(2, 3, 77, 77))  # odd on purpose
    assert logits.shape == (2, 7)
    epsilons = {module.eps for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert epsilons <= {1e-3}
    assert epsilons or architecture in {"vgg16", "squeezenet1_0", "squeezenet1_1"}


@pytest.mark.parametrize("architecture", CLASSIFIERS)
@pytest.mark.parametrize("padding", ["same", "torch"])
def test_the_smallest_input_computes_and_a_smaller_one_is_refused_in_a_sentence(architecture, padding):
    smallest = ARCHITECTURES[architecture].smallest
    with torch.device("meta"):
        model = build(architecture, padding=padding)
        assert model(torch.zeros(1, 3, smallest, smallest)).ndim == 2
        if smallest > LEAST_RESOLUTION:
            with pytest.raises(RuntimeError, match="size"):
                model(torch.zeros(1, 3, smallest - 1, smallest - 1))
    arguments = {"resolution": smallest - 1, "padding": padding, "batch_norm_epsilon": 1e-3}
    recipe = load_recipe("v1").model_dump() | {"architecture": architecture, "model": arguments, "expect": {}}
    with pytest.raises(ValidationError, match=f"no input of {smallest - 1} pixels|greater than or equal to 32"):
        Recipe.model_validate(recipe)


@pytest.mark.parametrize(
    ("architecture", "option", "said"),
    [
        ("shufflenet_v1", {"groups": 5}, "shufflenet_v1 has no variant of 5 groups"),
        ("shufflenet_v2", {"width": 0.75}, "shufflenet_v2 has no variant of width 0.75"),
    ],
)
def test_a_variant_that_no_paper_has_is_refused_in_a_sentence(architecture, option, said):
    with pytest.raises(UsageError, match=said):
        build(architecture, **option)


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
    rows = read_key_map("edgekit.architectures", f"torchvision_{architecture}")
    ours = {key: "x".join(map(str, value.shape)) for key, value in build(architecture).state_dict().items()}
    assert {row["edgekit"]: row["shape"] for row in rows} == ours
    assert len({row["torchvision"] for row in rows}) == len(rows)
    assert any(row["torchvision"] != row["edgekit"] for row in rows)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(112, 3, 2), (7, 3, 2), (8, 2, 2), (9, 2, 2), (8, 3, 1)])
def test_max_pooling_with_same_padding_is_tensorflows_and_padding_never_wins(size, kernel, stride):
    image = -torch.rand(1, 2, size, size) - 1  # all negative: a zero of the padding would be the largest
    pooled = max_pool(kernel, stride, Convention("same"))(image)
    assert pooled.shape[-1] == -(-size // stride)
    assert pooled.max() < 0
    total = max((pooled.shape[-1] - 1) * stride + kernel - size, 0)
    first = image[0, 0, : kernel - total // 2, : kernel - total // 2].max()
    assert pooled[0, 0, 0, 0] == first


def test_channel_shuffle_deals_the_groups_out_in_turn():
    channels = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert ShuffleChannels(2)(channels).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert ShuffleChannels(3)(channels).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_depth_scales_layers_up_and_forgives_floating_point():
    assert [deepened(repeats, 1.1) for repeats in (1, 2, 10)] == [2, 3, 11]
    assert deepened(3, 1.0) == 3


def test_settling_gives_plausible_activations_and_leaves_eval_mode():
    torch.manual_seed(0)
    model, images = build("mobilenet_v2", width=0.35), torch.randn(8, 3, 64, 64)
    before = model(images).std()
    settle_batch_norm(model, (images,))
    assert not model.training
    assert model(images).std() > 10 * before
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))


def test_one_image_is_never_settled_alone():
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.BatchNorm2d(3))  # alone it has no variance
    settle_batch_norm(model, (torch.randn(9, 3, 4, 4),), batch_size=8)
    assert not model.training


def test_key_maps_are_csv_of_names_or_of_rules():
    from importlib.resources import files

    for file in (files("edgekit.architectures") / "keymaps").iterdir():
        header = next(csv.reader(file.read_text().splitlines()))
        assert header in (["torchvision", "shape", "edgekit"], ["pattern", "edgekit"])
