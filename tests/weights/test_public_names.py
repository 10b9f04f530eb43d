"""Checkpoints that are not on this machine would load: their names and shapes map one to one onto our state dicts."""

import public_names as public
import pytest
import torch

from edgekit.architectures.registry import build
from edgekit.errors import EdgekitError
from edgekit.recipe.loading import known_recipes, load_recipe
from edgekit.weights.checkpoints import load_checkpoint, rename_keys

FIRES = ((16, 64, 64), (16, 64, 64), (32, 128, 128), (32, 128, 128), (48, 192, 192), (48, 192, 192), (64, 256, 256))
LAST = (64, 256, 256)
CHECKPOINTS = {
    **{
        f"efficientnet_b{number}": public.torchvision_efficientnet(width, depth)
        for number, (width, depth) in enumerate(
            [(1, 1), (1, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2, 3.1)]
        )
    },
    "efficientnet_lite0": public.ml_illustrated_efficientnet_lite(1, 1),
    "efficientnet_lite1": public.ml_illustrated_efficientnet_lite(1, 1.1),
    "efficientnet_lite2": public.ml_illustrated_efficientnet_lite(1.1, 1.2),
    "efficientnet_lite3": public.timm_efficientnet_lite(1.2, 1.4),
    "efficientnet_lite4": public.timm_efficientnet_lite(1.4, 1.8),
    "efficientnet_edgetpu_s": public.timm_efficientnet_edgetpu(1, 1),
    "efficientnet_edgetpu_m": public.timm_efficientnet_edgetpu(1, 1.1),
    "efficientnet_edgetpu_l": public.timm_efficientnet_edgetpu(1.2, 1.4),
    "mnasnet_a1": public.timm_mnasnet_a1(),
    "mnasnet_b1": public.torchvision_mnasnet(1.0),
    "mnasnet_small": public.timm_mnasnet_small(),
    "xception": public.timm_xception(),
    "googlenet": public.torchvision_googlenet(),
    "inception_v3": public.torchvision_inception_v3(),
    "resnet18": public.torchvision_resnet((2, 2, 2, 2), bottleneck=False),
    "resnet34": public.torchvision_resnet((3, 4, 6, 3), bottleneck=False),
    "resnet50": public.torchvision_resnet((3, 4, 6, 3), bottleneck=True),
    "vgg16": public.torchvision_vgg16(),
    "shufflenet_v2": public.torchvision_shufflenet_v2(),
    "squeezenet1_0": public.torchvision_squeezenet(
        (96, 7), dict(zip((3, 4, 5, 7, 8, 9, 10, 12), (*FIRES, LAST), strict=True))
    ),
    "squeezenet1_1": public.torchvision_squeezenet(
        (64, 3), dict(zip((3, 4, 6, 7, 9, 10, 11, 12), (*FIRES, LAST), strict=True))
    ),
}
TESTED_ELSEWHERE = {"v2", "v3_large", "v3_small"}


def test_every_recipe_with_a_checkpoint_is_here():
    with_checkpoint = {
        name for name in known_recipes() if load_recipe(name).weights.url or load_recipe(name).weights.key_map
    }
    assert with_checkpoint == set(CHECKPOINTS) | TESTED_ELSEWHERE


def empty_model(recipe):
    with torch.device("meta"):
        return build(recipe.architecture, **recipe.model.architecture_arguments())


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_public_names_and_shapes_map_one_to_one_onto_ours(name):
    recipe, state = load_recipe(name), CHECKPOINTS[name]
    names = rename_keys(recipe.weights.key_map, state) if recipe.weights.key_map else {key: key for key in state}
    kept = [ours for ours in names.values() if ours]
    assert len(kept) == len(set(kept))
    own = {key: tuple(value.shape) for key, value in empty_model(recipe).state_dict().items()}
    assert {names[key]: shape for key, shape in state.items() if names[key]} == own


@pytest.mark.parametrize(
    ("name", "dropped"), [("googlenet", ("aux1.", "aux2.")), ("inception_v3", ("AuxLogits.",)), ("mnasnet_a1", ())]
)
def test_only_auxiliary_heads_are_dropped(name, dropped):
    recipe, state = load_recipe(name), CHECKPOINTS[name]
    names = rename_keys(recipe.weights.key_map, state)
    assert {key for key in state if not names[key]} == {key for key in state if dropped and key.startswith(dropped)}


def saved(tmp_path, state):
    file = tmp_path / f"{'0' * 64}-checkpoint.pth"
    torch.save(state, file)
    return file


def test_a_checkpoint_with_auxiliary_heads_and_without_counters_loads_strictly(tmp_path):
    state = {
        key: torch.full(shape, 0.25)
        for key, shape in CHECKPOINTS["googlenet"].items()
        if not key.endswith("num_batches_tracked")
    }
    model = build("googlenet")
    load_checkpoint(model, saved(tmp_path, state), "torchvision_googlenet")
    assert all((value == 0.25).all() for value in model.parameters())


def test_the_head_of_a_net_without_linear_layers_can_be_drawn_anew(tmp_path):
    state = {key: torch.zeros(shape) for key, shape in CHECKPOINTS["squeezenet1_1"].items()}
    model = build("squeezenet1_1", classes=10)
    drawn = model.classifier[1].weight.clone()
    with pytest.raises(EdgekitError, match=r"classifier\.1\.weight is \(1000, 512, 1, 1\), not \(10, 512, 1, 1\)"):
        load_checkpoint(model, saved(tmp_path, state), None)
    load_checkpoint(model, saved(tmp_path, state), None, new_head=True)
    assert torch.equal(model.classifier[1].weight, drawn)
    assert not model.features[0].weight.any()
