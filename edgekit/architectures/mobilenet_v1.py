"""MobileNetV1: depthwise separable convolutions. Howard et al. 2017, arXiv:1704.04861, Table 1.

If the paper's table and all implementations disagree, the implementations count. The last depthwise layer has
stride 1 (the paper prints 2, but only 1 gives its 569 M multiply-adds). The nonlinearity is ReLU6 (TensorFlow Slim).
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from torch import nn

from edgekit.architectures.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    DepthwiseSeparable,
    Padding,
    Reduced,
    deepened,
    output_channels,
)


class Row(NamedTuple):
    """One row of Table 1: a depthwise separable convolution, repeated."""

    out: int
    stride: int
    repeats: int


TABLE_1 = (
    # out, stride, repeats    input
    Row(64, 1, 1),  # 112x112x32
    Row(128, 2, 1),  # 112x112x64
    Row(128, 1, 1),  # 56x56x128
    Row(256, 2, 1),  # 56x56x128
    Row(256, 1, 1),  # 28x28x256
    Row(512, 2, 1),  # 28x28x256
    Row(512, 1, 5),  # 14x14x512
    Row(1024, 2, 1),  # 14x14x512
    Row(1024, 1, 1),  # 7x7x1024
)


def features(width: float, convention: Convention, reduced: Reduced = False, depth: float = 1.0) -> nn.Sequential:
    """Return the layers before pooling; every layer has max(int(channels * width), 8) channels, as in TensorFlow Slim.

    Rows with the same `out` are a stage, which has ceil(layers * depth) layers; so width 1.2, depth 1.4 and 1.3 times the
    resolution have about the 2.3 billion multiply-adds of the EfficientNet paper (arXiv:1905.11946, Table 3). `reduced` halves
    the channels of the last stage (MobileNetV3 paper, section 6.3).
    """

    def scaled(channels: int) -> int:
        return max(int(channels * width), 8)

    channels = scaled(32)
    layers: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU6, stride=2)]
    for out, rows in groupby(TABLE_1, key=lambda row: row.out):
        outputs = scaled(out // 2 if reduced and out == TABLE_1[-1].out else out)
        strides = [row.stride for row in rows for _ in range(row.repeats)]
        count = deepened(len(strides), depth)
        for stride in (strides + [1] * count)[:count]:
            layers.append(DepthwiseSeparable(channels, outputs, stride, convention, nn.ReLU6))
            channels = outputs
    return nn.Sequential(*layers)


def mobilenet_v1(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
) -> Classifier:
    """Build MobileNetV1 for (N, 3, H, W) images, H and W at least 32; the classifier keeps `classes` outputs."""
    layers = features(width, Convention(padding, batch_norm_epsilon), depth=depth)
    return Classifier(layers, nn.Sequential(nn.Dropout(0.001), nn.Linear(output_channels(layers), classes)))
