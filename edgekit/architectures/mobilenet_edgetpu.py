"""MobileNetEdgeTPU V1 and V2: fused inverted residuals for Google's Edge TPU. Neither has a paper.

V1: tensorflow/models ``research/slim/nets/mobilenet/mobilenet_v3.py``, V3_EDGETPU. V2:
``official/projects/edgetpu/vision/modeling/mobilenet_edgetpu_v2_model_blocks.py`` there. Both count 1001 classes.
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
    make_divisible,
)


class Row(NamedTuple):
    """One line of V3_EDGETPU: fused or not, kernel, expansion, output channels, stride, residual, repeats."""

    fused: bool
    kernel: int
    expansion: int
    out: int
    s: int
    residual: bool
    repeats: int


V3_EDGETPU = (
    # fused, kernel, expansion, out, s, residual, repeats    input
    Row(True, 1, 1, 16, 1, False, 1),  # 112x112x32
    Row(True, 3, 8, 32, 2, False, 1),  # 112x112x16
    Row(True, 3, 4, 32, 1, True, 3),  # 56x56x32
    Row(True, 3, 8, 48, 2, False, 1),  # 56x56x32
    Row(True, 3, 4, 48, 1, True, 3),  # 28x28x48
    Row(False, 3, 8, 96, 2, False, 1),  # 28x28x48
    Row(False, 3, 4, 96, 1, True, 3),  # 14x14x96
    Row(False, 3, 8, 96, 1, False, 1),  # 14x14x96
    Row(False, 3, 4, 96, 1, True, 3),  # 14x14x96
    Row(False, 5, 8, 160, 2, False, 1),  # 14x14x96
    Row(False, 5, 4, 160, 1, True, 3),  # 7x7x160
    Row(False, 3, 8, 192, 1, False, 1),  # 7x7x160
)


def mobilenet_edgetpu(
    width: float = 1.0,
    classes: int = 1001,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
    scale_last: bool = False,
) -> Classifier:
    """Build MobileNetEdgeTPU for (N, 3, H, W) images, H and W at least 32.

    `width` is the depth multiplier dm of the published names; channels are make_divisible(channels * width). For width < 1 the
    last convolution keeps its 1280, as in Slim's published 0.75 checkpoint; with `scale_last` it shrinks, as in the model
    garden's dm variants.
    """
    convention = Convention(padding, batch_norm_epsilon)
    channels = make_divisible(32 * width)
    features: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU, stride=2)]
    for row in V3_EDGETPU:
        block = FusedInvertedResidual if row.fused else InvertedResidual
        outputs = make_divisible(row.out * width)
        for _ in range(row.repeats):
            expanded = channels * row.expansion
            features.append(
                block(channels, expanded, outputs, row.kernel, row.s, convention, nn.ReLU, residual=row.residual)
            )
            channels = outputs
    last = make_divisible(1280 * (width if scale_last else max(1.0, width)))
    features.append(ConvNormActivation(channels, last, 1, convention, nn.ReLU))
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Dropout(0.1), nn.Linear(last, classes)))


class Size(NamedTuple):
    """What distinguishes the sizes of V2: first convolution, output channels of the seven groups, last convolution.

    `group_size` is how many expanded channels share a group of a grouped convolution.
    """

    first: int
    first_kernel: int
    groups: tuple[int, ...]
    last: int
    group_size: int = 64


SIZES = {
    "tiny": Size(32, 5, (16, 32, 48, 80, 112, 160, 192), 1280),
    "xs": Size(32, 5, (16, 32, 48, 96, 144, 160, 192), 1280),
    "s": Size(64, 5, (24, 48, 64, 128, 160, 192, 256), 1280),
    "m": Size(64, 5, (32, 64, 80, 160, 192, 240, 320), 1344),
    "l": Size(64, 7, (32, 64, 96, 192, 240, 256, 384), 1408, group_size=128),
}

FUSED, GROUPED, DEPTHWISE = "fused", "grouped", "depthwise"


class Group(NamedTuple):
    """One group of V2: the stride of its first block and its blocks. The first expands 8 times, the others 4 times."""

    s: int
    blocks: tuple[str, ...]


V2_GROUPS = (
    # s, blocks                                       input
    Group(2, (FUSED, GROUPED)),  # 112x112
    Group(2, (FUSED, GROUPED, FUSED, GROUPED)),  # 56x56
    Group(2, (FUSED, DEPTHWISE, DEPTHWISE, DEPTHWISE)),  # 28x28
    Group(1, (DEPTHWISE, DEPTHWISE, DEPTHWISE, DEPTHWISE)),  # 14x14
    Group(2, (DEPTHWISE, DEPTHWISE, DEPTHWISE, DEPTHWISE)),  # 14x14
    Group(1, (DEPTHWISE,)),  # 7x7
)

V2_GROUPS_TINY = (
    V2_GROUPS[0],
    Group(2, (GROUPED, GROUPED, GROUPED, GROUPED)),  # 56x56
    Group(2, (GROUPED, DEPTHWISE, DEPTHWISE, DEPTHWISE)),  # 28x28
    *V2_GROUPS[3:],
)
"""Tiny groups three convolutions more."""


def mobilenet_edgetpu_v2(
    size: str = "s", classes: int = 1001, padding: Padding = "same", batch_norm_epsilon: float = 1e-3
) -> Classifier:
    """Build MobileNetEdgeTPU V2 of a `size` of :data:`SIZES` for (N, 3, H, W) images, H and W at least 32."""
    convention, (first, kernel, outs, last, group_size) = Convention(padding, batch_norm_epsilon), SIZES[size]
    features: list[nn.Module] = [
        ConvNormActivation(3, first, kernel, convention, nn.ReLU, stride=2),
        FusedInvertedResidual(first, first, outs[0], 1, 1, convention, nn.ReLU),
    ]
    channels = outs[0]
    for group, out in zip(V2_GROUPS_TINY if size == "tiny" else V2_GROUPS, outs[1:], strict=True):
        for index, kind in enumerate(group.blocks):
            expanded, stride = channels * (8 if index == 0 else 4), group.s if index == 0 else 1
            if kind == DEPTHWISE:
                features.append(InvertedResidual(channels, expanded, out, 3, stride, convention, nn.ReLU))
            else:
                groups = expanded // group_size if kind == GROUPED else 1
                features.append(FusedInvertedResidual(channels, expanded, out, 3, stride, convention, nn.ReLU, groups))
            channels = out
    features.append(ConvNormActivation(channels, last, 1, convention, nn.ReLU))
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Dropout(0.1), nn.Linear(last, classes)))
