"""EfficientNet, its Lite variants, and EfficientNet-EdgeTPU.

EfficientNet: Tan and Le 2019, arXiv:1905.11946, Table 1; the resolutions that the table prints for stages 3 to 8 differ between
versions of the paper. The strides are those of the authors' ``efficientnet_builder.py`` (tensorflow/tpu). B1 to B7 are widths,
depths and resolutions. Lite and EdgeTPU have no paper: ``efficientnet_lite_builder.py`` and ``efficientnet_edgetpu_builder.py``.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from edgekit.architectures.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    FusedInvertedResidual,
    InvertedResidual,
    Padding,
    SqueezeExcite,
    deepened,
    inverted_residual_stage,
    make_divisible,
)


class Row(NamedTuple):
    """One stage of Table 1: MBConv's expansion and kernel, output channels, layers, stride of the first layer."""

    expansion: int
    kernel: int
    out: int
    layers: int
    stride: int


TABLE_1 = (
    # expansion, kernel, out, layers, stride    input
    Row(1, 3, 16, 1, 1),  # 112x112x32
    Row(6, 3, 24, 2, 2),  # 112x112x16
    Row(6, 5, 40, 2, 2),  # 56x56x24
    Row(6, 3, 80, 3, 2),  # 28x28x40
    Row(6, 5, 112, 3, 1),  # 14x14x80
    Row(6, 5, 192, 4, 2),  # 14x14x112
    Row(6, 3, 320, 1, 1),  # 7x7x192
)


class EdgeTPURow(NamedTuple):
    """One stage: fused or not, expansion, kernel, output channels, layers, stride of the first layer."""

    fused: bool
    expansion: int
    kernel: int
    out: int
    layers: int
    stride: int


EDGETPU = (
    # fused, expansion, kernel, out, layers, stride    input
    EdgeTPURow(True, 4, 3, 24, 1, 1),  # 112x112x32
    EdgeTPURow(True, 8, 3, 32, 2, 2),  # 112x112x24
    EdgeTPURow(True, 8, 3, 48, 4, 2),  # 56x56x32
    EdgeTPURow(False, 8, 5, 96, 5, 2),  # 28x28x48
    EdgeTPURow(False, 8, 5, 144, 4, 1),  # 14x14x96
    EdgeTPURow(False, 8, 5, 192, 2, 2),  # 14x14x144
)


def efficientnet(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "torch",
    batch_norm_epsilon: float = 1e-5,
) -> Classifier:
    """Build an EfficientNet for (N, 3, H, W) images, H and W at least 32; B0 is width 1.0 and depth 1.0.

    Channels, those of the first and the last convolution too, are make_divisible(channels * width), layers
    ceil(layers * depth). Squeeze-and-excitation has a quarter of the block's input channels, swish and a sigmoid gate.
    """
    convention = Convention(padding, batch_norm_epsilon)
    channels = make_divisible(32 * width)
    features: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.SiLU, stride=2)]
    for row in TABLE_1:
        outputs = make_divisible(row.out * width)
        shape = (row.expansion, row.kernel, deepened(row.layers, depth), row.stride)
        features.append(inverted_residual_stage(channels, outputs, *shape, convention, nn.SiLU, _squeeze_excite))
        channels = outputs
    last = make_divisible(1280 * width)
    features.append(ConvNormActivation(channels, last, 1, convention, nn.SiLU))
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes)))


def _squeeze_excite(expanded: int, inputs: int) -> SqueezeExcite:
    return SqueezeExcite(expanded, max(1, inputs // 4), nn.SiLU, nn.Sigmoid)


def efficientnet_lite(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
) -> Classifier:
    """Build an EfficientNet-Lite for (N, 3, H, W) images, H and W at least 32; Lite0 is width 1.0 and depth 1.0.

    Table 1 without squeeze-and-excitation and with ReLU6. The first and the last convolution are not scaled, and neither is
    the number of layers of the first and the last stage.
    """
    convention = Convention(padding, batch_norm_epsilon)
    channels, last = 32, 1280
    features: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU6, stride=2)]
    for row in TABLE_1:
        outputs = make_divisible(row.out * width)
        layers = row.layers if row in (TABLE_1[0], TABLE_1[-1]) else deepened(row.layers, depth)
        shape = (row.expansion, row.kernel, layers, row.stride)
        features.append(inverted_residual_stage(channels, outputs, *shape, convention, nn.ReLU6))
        channels = outputs
    features.append(ConvNormActivation(channels, last, 1, convention, nn.ReLU6))
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes)))


def efficientnet_edgetpu(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
) -> Classifier:
    """Build an EfficientNet-EdgeTPU for (N, 3, H, W) images, H and W at least 32; S is width 1.0 and depth 1.0.

    ReLU, no squeeze-and-excitation. The first block expands a multiple of its 24 outputs (as its block string says), not of
    its 32 inputs, and has no residual.
    """
    convention = Convention(padding, batch_norm_epsilon)
    channels = make_divisible(32 * width)
    features: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU, stride=2)]
    for row in EDGETPU:
        block = FusedInvertedResidual if row.fused else InvertedResidual
        stage: list[nn.Module] = []
        outputs = make_divisible(row.out * width)
        for layer in range(deepened(row.layers, depth)):
            first = row is EDGETPU[0]
            expanded = (outputs if first and layer == 0 else channels) * row.expansion
            stride = row.stride if layer == 0 else 1
            stage.append(
                block(channels, expanded, outputs, row.kernel, stride, convention, nn.ReLU, residual=not first)
            )
            channels = outputs
        features.append(nn.Sequential(*stage))
    last = make_divisible(1280 * width)
    features.append(ConvNormActivation(channels, last, 1, convention, nn.ReLU))
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes)))
