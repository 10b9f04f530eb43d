import pytest
import torch
from torch import nn

from edgekit.architectures.blocks import (
    Convention,
    ConvNormActivation,
    DepthwiseSeparable,
    InvertedResidual,
    SqueezeExcite,
)
from edgekit.architectures.cost import Cost, cost, count
from edgekit.architectures.registry import build
from edgekit.inspection.full_convolutions import with_full_convolutions

CONVENTION = Convention("same", 1e-3)
PAPERS_TABLE_4 = (29_294_088, 4_867_293_184)  # counted; the paper prints 29.3 M and 4866 M


def numbers(counted: Cost) -> tuple[int, int]:
    return counted.parameters, counted.multiply_adds


def fully_convolutional_v1() -> nn.Module:
    model = build("mobilenet_v1")
    for index, block in enumerate(model.features):
        if isinstance(block, DepthwiseSeparable):
            depthwise, pointwise = block[0][0], block[1][0]
            model.features[index] = ConvNormActivation(
                depthwise.in_channels, pointwise.out_channels, 3, CONVENTION, nn.ReLU6, depthwise.stride[0]
            )
    return model


def fully_convolutional_v2() -> nn.Module:
    model = build("mobilenet_v2")
    for block in model.features:
        if isinstance(block, InvertedResidual):
            *expansion, depthwise, projection, _ = block.conv
            full = ConvNormActivation(
                depthwise[0].in_channels, projection.out_channels, 3, CONVENTION, None, depthwise[0].stride[0]
            )
            block.conv = nn.Sequential(*expansion, full)
    return model


def test_mobilenet_v1_becomes_the_papers_full_convolution_network_to_the_unit():
    full = with_full_convolutions(cost("mobilenet_v1", 224))
    assert numbers(full) == PAPERS_TABLE_4
    norms = sum(layer.parameters for layer in full.layers if layer.operator == "batch norm")
    assert norms == 11_968


@pytest.mark.parametrize(
    ("architecture", "replaced"), [("mobilenet_v1", fully_convolutional_v1), ("mobilenet_v2", fully_convolutional_v2)]
)
def test_the_derived_cost_is_that_of_a_network_really_built_so(architecture, replaced):
    with torch.device("meta"):
        counted = count(replaced(), (3, 192, 192))
    derived = with_full_convolutions(cost(architecture, 192))
    assert numbers(derived) == numbers(counted)
    shapes = [(layer.operator, layer.input, layer.output) for layer in counted.layers]
    assert [(layer.operator, layer.input, layer.output) for layer in derived.layers] == shapes


@pytest.mark.parametrize(
    "resolution", [32, 224]
)  # at 32 the last depthwise layers are 1x1, as squeeze-and-excitation is
def test_squeeze_and_excitation_between_the_pair_leaves_nothing_to_compare(resolution):
    assert with_full_convolutions(cost("mobilenet_v3_large", resolution)) is None
    assert with_full_convolutions(cost("mobilenet_v3_large_minimalistic", resolution)) is not None


def test_a_network_without_depthwise_convolutions_has_nothing_to_compare():
    plain = nn.Sequential(ConvNormActivation(3, 8, 3, CONVENTION, nn.ReLU), SqueezeExcite(8))
    assert with_full_convolutions(count(plain, (3, 32, 32))) is None
