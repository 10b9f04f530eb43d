"""MobileNetV2: inverted residuals and linear bottlenecks. Sandler et al. 2018, arXiv:1801.04381, Table 2.

The paper's text counts 19 bottlenecks; its table and every implementation have 17. State dict keys are torchvision's.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from edgekit.architectures.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    InvertedResidual,
    Padding,
    Reduced,
    deepened,
    make_divisible,
    output_channels,
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
LAST_STAGE = 4  # the fourth row of stride 2 begins it


def features(
    width: float,
    convention: Convention,
    reduced: Reduced = False,
    last_width: float | None = None,
    divisor: int = 8,
    depth: float = 1.0,
) -> nn.Sequential:
    """Return the layers before pooling; channels are make_divisible(c * width, divisor).

    Every row, also those with n = 1, is repeated ceil(n * depth) times (EfficientNet, arXiv:1905.11946, Table 3).

    The last convolution's 1280 are multiplied by `last_width`, by default `width` too. `reduced` halves the channels of the
    last stage (MobileNetV3 paper, section 6.3).
    """
    channels, stages, half = make_divisible(32 * width, divisor), 0, 0.5 if reduced else 1.0
    layers: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nn.ReLU6, stride=2)]
    for t, c, n, s in TABLE_2:
        stages += s == 2
        outputs = make_divisible(c * width * (half if stages == LAST_STAGE else 1.0), divisor)
        for repeat in range(deepened(n, depth)):
            stride = s if repeat == 0 else 1
            layers.append(InvertedResidual(channels, channels * t, outputs, 3, stride, convention, nn.ReLU6))
            channels = outputs
    last = make_divisible(1280 * half * (last_width or width), divisor)
    layers.append(ConvNormActivation(channels, last, 1, convention, nn.ReLU6))
    return nn.Sequential(*layers)


def mobilenet_v2(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "torch",
    batch_norm_epsilon: float = 1e-5,
) -> Classifier:
    """Build MobileNetV2 for (N, 3, H, W) images, H and W at least 32.

    The last convolution keeps its 1280 for width < 1 (paper, section 4).
    """
    layers = features(width, Convention(padding, batch_norm_epsilon), depth=depth, last_width=max(1.0, width))
    return Classifier(layers, nn.Sequential(nn.Dropout(0.2), nn.Linear(output_channels(layers), classes)))
