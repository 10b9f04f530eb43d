"""What makes int8 accurate: each pass by itself, on small networks with random weights and settled batch norm."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.architectures.blocks import settle_batch_norm
from edgekit.architectures.inputs import Inputs
from edgekit.architectures.registry import build
from edgekit.backends.executorch import _quantise
from edgekit.backends.quantization import equalization, optimise_for_int8
from edgekit.backends.quantization.equalization import channel_groups, equalise, factors
from edgekit.backends.quantization.graph import export, fold_batch_norm, layers
from edgekit.backends.quantization.ranges import OUTPUT_MARGIN, Range
from edgekit.backends.quantization.rounding import LEVELS, fake_quantise, patches, round_layer, round_weights


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def images():
    """Smooth images, as photos are: neighbouring pixels resemble each other."""
    noise = torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(noise, size=(64, 64), mode="bicubic")


@pytest.fixture(scope="module")
def network(images):
    torch.manual_seed(0)
    model = build("mobilenet_v2", width=0.35, classes=10, padding="same", batch_norm_epsilon=1e-3)
    with torch.no_grad():
        settle_batch_norm(model, (images,))
    return model


def relative(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_folding_leaves_no_batch_norm_and_changes_no_output(network, images):
    folded = fold_batch_norm(network, (images,))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.model.modules())
    assert relative(folded.model(images), network(images)) < 1e-4
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())  # it is a copy


def test_equalising_changes_weights_and_no_output(network, images):
    folded = fold_batch_norm(network, (images,))
    before = copy.deepcopy(folded.model)
    equalise(folded, (images,))
    changed = [not torch.equal(a, b) for a, b in zip(before.parameters(), folded.model.parameters(), strict=True)]
    assert sum(changed) > 10
    assert relative(folded.model(images), network(images)) < 1e-4


def test_an_outlier_among_residual_channels_is_tamed():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = (nn.Conv2d(4, 4, 1) for _ in range(3))

        def forward(self, image):
            made = self.first(image)
            return self.third(made + self.second(made))

    model, images = Residual(), torch.randn(4, 4, 8, 8)
    model.first.weight[2] *= 30
    wanted = model(images)
    (group,) = {
        id(one): one for one in channel_groups(model, export(model, (images,))).values() if one.scalable
    }.values()
    assert {layer.name for layer in group.makers} == {"first", "second"}
    assert {layer.name for layer in group.readers} == {"second", "third"}
    spread = model.first(images).abs().amax((0, 2, 3))
    folded = fold_batch_norm(model, (images,))
    equalise(folded, (images,))
    equalised = folded.model.first(images).abs().amax((0, 2, 3))
    assert equalised.max() / equalised.min() < 0.6 * spread.max() / spread.min()
    assert relative(folded.model(images), wanted) < 1e-4


@pytest.mark.parametrize(("deviation", "scaled"), [(0.1, True), (1.0, False)])
def test_behind_a_clipped_relu_batch_norm_tells_how_far_a_channel_may_grow(deviation, scaled):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU6(), nn.Conv2d(2, 2, 3, groups=2))
    images = torch.rand(4, 3, 8, 8)
    graph = export(model, (images,))
    (group,) = {id(one): one for one in channel_groups(model, graph).values() if one.scalable}.values()
    assert group.clip == 6
    group.reach = torch.tensor([0.5, 0.5])  # all that these few photos show
    found = factors(group, {"0": (torch.zeros(2), torch.full((2,), deviation))})
    assert bool((found < 1).all()) is scaled
    assert (found >= 1 / equalization.LARGEST_FACTOR).all()
    assert torch.equal(factors(group, {}), torch.ones(2))  # without statistics nothing is known


def test_a_dense_reader_behind_a_clipped_relu_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU6(), nn.Conv2d(2, 2, 3))
    groups = channel_groups(model, export(model, (torch.rand(2, 3, 8, 8),)))
    assert not any(group.scalable for group in groups.values())


def test_rounded_weights_are_on_the_grid_that_runtimes_take_from_the_largest(network, images):
    rounded = fold_batch_norm(network, (images,)).model
    round_weights(rounded, (images,))
    found = list(layers(rounded, export(rounded, (images,))))
    assert len(found) > 40
    for layer in found:
        weight = layer.module.weight.flatten(1)
        steps = weight / (weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / LEVELS)
        assert (steps - steps.round()).abs().max() < 1e-2, layer.name


def test_rounding_changes_what_a_depthwise_layer_computes_less_than_the_nearest_does(images):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 3, 3, groups=3, bias=False))
    model[0].weight *= torch.tensor([8.0, *(1.0,) * 8]).reshape(3, 3)  # a large one makes the steps coarse
    (layer,) = layers(model, export(model, (images,)))
    wanted = model(images)
    scale = layer.module.weight.flatten(1).abs().amax(1)[:, None, None, None] / LEVELS
    nearest = (layer.module.weight / scale).round() * scale

    def error(weight):
        difference = functional.conv2d(images, weight, groups=3) - wanted
        return float(difference.std((0, 2, 3)).mean())

    assert error(round_layer(layer, patches(layer, images))) < 0.5 * error(nearest)


def test_rounding_keeps_the_mean_of_a_layer():
    torch.manual_seed(2)
    model, images = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)), torch.rand(8, 3, 16, 16) + 1
    wanted = model(images).mean((0, 2, 3))
    round_weights(model, (images,))
    quantised = fake_quantise(images, images)
    middle = model[1](model[0](quantised))
    found = model[2](fake_quantise(middle, middle)).mean((0, 2, 3))
    assert relative(found, wanted) < 1e-3


def test_all_passes_together_work_on_a_copy_with_the_same_modules(network, images):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimised = optimise_for_int8(network, Inputs.of_images(images.numpy()))
    assert optimised(images).shape == network(images).shape
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert set(dict(network.named_modules())) == set(dict(optimised.named_modules()))


def test_the_range_of_an_output_has_a_margin_and_others_ignore_an_outlier():
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    values[0] = 60
    found = Range()
    found.add(values)
    low, high = found.best
    assert low < -3
    assert 4 < high < 60
    low, high = found.with_margin
    assert high == pytest.approx(60 * OUTPUT_MARGIN)
    assert low == pytest.approx(float(values.min()) * OUTPUT_MARGIN)


def test_executorch_stores_what_comes_out_of_a_clipped_relu_and_not_what_goes_in():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1)).eval()
    model[0].weight *= 40
    images = torch.rand(4, 3, 8, 8)
    converted = _quantise(torch.export.export(model, (images[:1],)), Inputs.of_images(images.numpy()))
    (clipped,) = (node for node in converted.graph.nodes if "hardtanh" in str(node.target))
    assert "conv" in str(clipped.args[0].target)  # and no rounding between them
    (stored,) = clipped.users
    scale = stored.args[1]
    assert float(getattr(converted, scale.target) if hasattr(scale, "target") else scale) <= 6.01 / 255


def test_the_bias_of_a_channel_with_hardly_any_weights_fits_into_32_bits():
    torch.manual_seed(4)
    model, images = nn.Sequential(nn.Conv2d(3, 2, 1)), torch.rand(4, 3, 8, 8)
    model[0].weight[1] *= 1e-9
    model[0].bias[1] = 4.0
    wanted = model(images)
    round_weights(model, (images,))
    steps = model[0].bias / (1 / 255 * model[0].weight.flatten(1).abs().amax(1) / LEVELS)
    assert (steps.abs() < 2**31).all()
    assert float((model(images) - wanted)[:, 1].abs().max()) < 1e-3
