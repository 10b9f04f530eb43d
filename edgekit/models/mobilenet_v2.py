"""MobileNetV2: inverted residuals and linear bottlenecks. Sandler et al. 2018, arXiv:1801.04381, Table 2.

The paper's text counts 19 bottlenecks; its table and every implementation have 17. State dict keys are torchvision's.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from edgekit.models.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    InvertedResidual,
    Padding,
    deepened,
    make_divisible,
)


class Row(NamedTuple):
    """One row of Table 2, in its letters: expansion t, output channels c, repeats n, stride s of the first."""

    t: int
    c: int
    n: int
    s: int


TABLE_2 = (
    # t, c, n, s         input
    Row(1, 16, 1, 1),  # 112x112x32
    Row(6, 24, 2, 2),  # 112x112x16
    Row(6, 32, 3, 2),  # 56x56x24
    Row(6, 64, 4, 2),  # 28x28x32
    Row(6, 96, 3, 1),  # 14x14x64
    Row(6, 160, 3, 2),  # 14x14x96
    Row(6, 320, 1, 1),  # 7x7x160
)


def mobilenet_v2(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "torch",
    batch_norm_epsilon: float = 1e-5,
) -> Classifier:
    """Build MobileNetV2 for (N, 3, H, W) images, H and W at least 32.

    Channels are make_divisible(c * width); the last convolution keeps its 1280 for width < 1 (paper, section 4).
    Every row, also those with n = 1, is repeated ceil(n * depth) times (EfficientNet, arXiv:1905.11946, Table 3).
    """
    convention = Convention(padding, batch_norm_epsilon)
    channels = make_divisible(32 * width)
    features: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU6, stride=2)]
    for t, c, n, s in TABLE_2:
        outputs = make_divisible(c * width)
        for repeat in range(deepened(n, depth)):
            stride = s if repeat == 0 else 1
            features.append(InvertedResidual(channels, channels * t, outputs, 3, stride, convention, nn.ReLU6))
            channels = outputs
    last = make_divisible(1280 * max(1.0, width))
    features.append(ConvNormActivation(channels, last, 1, convention, nn.ReLU6))
    classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))
    return Classifier(nn.Sequential(*features), classifier)
