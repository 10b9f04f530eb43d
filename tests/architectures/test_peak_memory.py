import pytest
import torch
from torch import nn

from edgekit.architectures.blocks import Convention, InvertedResidual
from edgekit.architectures.memory import peak_activations, peak_of

CONVENTION = Convention("torch", 1e-5)


def image(channels: int, size: int) -> torch.Tensor:
    return torch.zeros(1, channels, size, size, device="meta")


def test_a_chain_keeps_the_input_and_the_output_of_one_layer():
    with torch.device("meta"):
        chain = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 2, 1)
        ).eval()
    peak = peak_of(chain, image(3, 10))
    # image 300 + 400, then (batch norm and ReLU in place) 400 + 800, then 800 + 200 values of 4 bytes
    assert peak.bytes == 4 * (400 + 800)
    assert peak.shapes == [(4, 10, 10), (8, 10, 10)]


def test_an_inverted_residual_keeps_its_input_until_the_addition():
    with torch.device("meta"):
        block = InvertedResidual(4, 24, 4, 3, 1, CONVENTION, nn.ReLU6).eval()
        without = InvertedResidual(4, 24, 5, 3, 1, CONVENTION, nn.ReLU6).eval()
    # The depthwise layer: 24 channels in, 24 out, and the block's 4, which the addition reads.
    assert peak_of(block, image(4, 8)).bytes == 4 * 64 * (4 + 24 + 24)
    assert peak_of(block, image(4, 8)).shapes == [(4, 8, 8), (24, 8, 8), (24, 8, 8)]
    assert peak_of(without, image(4, 8)).bytes == 4 * 64 * (24 + 24)


def test_squeeze_and_excitation_scales_in_place():
    with torch.device("meta"):
        plain = InvertedResidual(4, 24, 4, 3, 1, CONVENTION, nn.ReLU6).eval()
        squeezed = InvertedResidual(4, 24, 4, 3, 1, CONVENTION, nn.ReLU6, squeeze_excite=True).eval()
    assert peak_of(squeezed, image(4, 8)) == peak_of(plain, image(4, 8))


class ReadAgain(nn.Module):
    def forward(self, features):
        return torch.relu(features) * features  # read again: ReLU needs a place of its own


def test_an_elementwise_operator_writes_over_nothing_that_is_read_later():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(1, 4, 1), ReadAgain(), nn.Conv2d(4, 1, 1))
    assert peak_of(model, image(1, 4)).bytes == 4 * 16 * (4 + 4)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU, nn.Sigmoid, nn.GELU])
def test_activations_and_batch_norm_are_elementwise(activation):
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), activation(), nn.Conv2d(4, 1, 1)).eval()
    assert peak_of(model, image(1, 4)).bytes == 4 * 16 * (1 + 4)


@pytest.mark.parametrize("architecture", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small"])
def test_padding_happens_within_the_convolution(architecture):
    same, torch_ = (peak_activations(architecture, 224, padding=padding) for padding in ("same", "torch"))
    assert same == torch_


@pytest.mark.parametrize(
    ("architecture", "shapes"),
    [
        ("mobilenet_v1", [(32, 112, 112), (64, 112, 112)]),  # the first pointwise layer
        ("mobilenet_v2", [(96, 112, 112), (96, 56, 56)]),  # the first strided depthwise layer
        ("mobilenet_v3_large", [(16, 112, 112), (64, 112, 112)]),  # the second block's expansion
    ],
)
def test_the_peaks_of_the_papers_networks(architecture, shapes):
    peak = peak_activations(architecture, 224)
    assert peak.shapes == shapes
    assert peak.bytes == 4 * sum(channels * height * width for channels, height, width in shapes)


def test_real_tensors_have_the_peak_of_the_meta_device():
    torch.manual_seed(0)
    block = InvertedResidual(4, 24, 4, 3, 1, CONVENTION, nn.Hardswish, squeeze_excite=True).eval()
    assert peak_of(block, torch.rand(1, 4, 8, 8)) == peak_of(block.to("meta"), image(4, 8))


class PaddedKernel(nn.Module):
    """Pads a weight, which no layer before it wrote."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(1, 1, 1, 1))

    def forward(self, x):
        return nn.functional.conv2d(x, nn.functional.pad(self.kernel, (1, 1, 1, 1)), padding=1)


def test_a_network_may_pad_a_weight():
    assert peak_of(PaddedKernel(), torch.rand(1, 1, 8, 8)).bytes >= 4 * 64 * 2
