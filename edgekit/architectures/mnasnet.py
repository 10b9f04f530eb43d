"""MnasNet-A1 and B1. Tan et al. 2019, arXiv:1807.11626, Figure 7; B1 and small are the authors' tensorflow/tpu ``mnasnet``.

Other libraries call A1 ``semnasnet`` and B1 ``mnasnet``. The figure's SepConv is the row with expansion 1.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from edgekit.architectures.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    Padding,
    Reduced,
    SqueezeExcite,
    inverted_residual_stage,
    make_divisible,
    output_channels,
)


class Row(NamedTuple):
    """One stage: expansion, kernel, output channels, layers, stride of the first layer, squeeze-and-excitation."""

    expansion: int
    kernel: int
    out: int
    layers: int
    stride: int
    se: bool


FIGURE_7_A1 = (
    # expansion, kernel, out, layers, stride, SE    input
    Row(1, 3, 16, 1, 1, False),  # 112x112x32
    Row(6, 3, 24, 2, 2, False),  # 112x112x16
    Row(3, 5, 40, 3, 2, True),  # 56x56x24
    Row(6, 3, 80, 4, 2, False),  # 28x28x40
    Row(6, 3, 112, 2, 1, True),  # 14x14x80
    Row(6, 5, 160, 3, 2, True),  # 14x14x112
    Row(6, 3, 320, 1, 1, False),  # 7x7x160
)

B1 = (
    # expansion, kernel, out, layers, stride, SE    input
    Row(1, 3, 16, 1, 1, False),  # 112x112x32
    Row(3, 3, 24, 3, 2, False),  # 112x112x16
    Row(3, 5, 40, 3, 2, False),  # 56x56x24
    Row(6, 5, 80, 3, 2, False),  # 28x28x40
    Row(6, 3, 96, 2, 1, False),  # 14x14x80
    Row(6, 5, 192, 4, 2, False),  # 14x14x96
    Row(6, 3, 320, 1, 1, False),  # 7x7x192
)

SMALL = (
    # expansion, kernel, out, layers, stride, SE    input
    Row(1, 3, 8, 1, 1, False),  # 112x112x8
    Row(3, 3, 16, 1, 2, False),  # 112x112x8
    Row(6, 3, 16, 2, 2, False),  # 56x56x16
    Row(6, 5, 32, 4, 2, True),  # 28x28x16
    Row(6, 3, 32, 3, 1, True),  # 14x14x32
    Row(6, 5, 88, 3, 2, True),  # 14x14x32
    Row(6, 3, 144, 1, 1, False),  # 7x7x88
)


def _stages(table: tuple[Row, ...], first: int, width: float, convention: Convention) -> list[nn.Sequential]:
    channels = make_divisible(first * width)
    stages: list[nn.Sequential] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU, stride=2)]
    for row in table:
        outputs, gate = make_divisible(row.out * width), _squeeze_excite if row.se else None
        shape = (row.expansion, row.kernel, row.layers, row.stride)
        stages.append(inverted_residual_stage(channels, outputs, *shape, convention, nn.ReLU, gate))
        channels = outputs
    return stages


def _squeeze_excite(expanded: int, inputs: int) -> SqueezeExcite:
    return SqueezeExcite(expanded, inputs // 4, nn.ReLU, nn.Sigmoid)


def features_a1(width: float, convention: Convention, reduced: Reduced = False) -> nn.Sequential:
    """Return MnasNet-A1's layers before pooling, one after the other, for heads; the last convolution's 1280 are scaled, too.

    ValueError for `reduced`: no paper halves MnasNet's last stage.
    """
    if reduced:
        raise ValueError("MnasNet's last stage is not reduced in any paper")
    first, *stages = _stages(FIGURE_7_A1, 32, width, convention)
    layers = [first, *(layer for stage in stages for layer in stage)]
    last = make_divisible(1280 * width)
    return nn.Sequential(*layers, ConvNormActivation(output_channels(layers[-1]), last, 1, convention, nn.ReLU))


def _build(table: tuple[Row, ...], first: int, width: float, classes: int, convention: Convention) -> Classifier:
    stages = _stages(table, first, width, convention)
    last = ConvNormActivation(output_channels(stages[-1]), 1280, 1, convention, nn.ReLU)
    return Classifier(nn.Sequential(*stages, last), nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes)))


def mnasnet_a1(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5
) -> Classifier:
    """Build MnasNet-A1 for (N, 3, H, W) images, H and W at least 32.

    Channels are make_divisible(channels * width); the last convolution keeps its 1280. Squeeze-and-excitation has a quarter of
    the block's input channels, ReLU and a sigmoid gate.
    """
    return _build(FIGURE_7_A1, 32, width, classes, Convention(padding, batch_norm_epsilon))


def mnasnet_b1(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5
) -> Classifier:
    """Build MnasNet-B1; arguments as :func:`mnasnet_a1`."""
    return _build(B1, 32, width, classes, Convention(padding, batch_norm_epsilon))


def mnasnet_small(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5
) -> Classifier:
    """Build MnasNet-small (the paper's Table 4, search2); arguments as :func:`mnasnet_a1`."""
    return _build(SMALL, 8, width, classes, Convention(padding, batch_norm_epsilon))
