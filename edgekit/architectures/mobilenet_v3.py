"""MobileNetV3 Large and Small. Howard et al. 2019, arXiv:1905.02244v5, Tables 1 and 2.

The minimalistic variants (TensorFlow Slim, ``V3_LARGE_MINIMALISTIC`` and ``V3_SMALL_MINIMALISTIC``) have the same channels
with 3x3 kernels only, no squeeze-and-excitation and ReLU instead of h-swish. The layer after pooling is 1024 wide in Small
(v5 of the paper; v4 prints 1280); Table 2 of the paper ticks SE on the last 1x1 convolution, no implementation has it there.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from edgekit.architectures.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    InvertedResidual,
    Nonlinearity,
    Padding,
    Reduced,
    make_divisible,
    output_channels,
)


class Row(NamedTuple):
    """One bottleneck: kernel, expansion size, output channels, SE, nonlinearity (RE or HS), stride."""

    kernel: int
    expanded: int
    out: int
    se: bool
    nl: str
    s: int


TABLE_1_LARGE = (
    # kernel, expanded, out, SE, NL, s       input
    Row(3, 16, 16, False, "RE", 1),  # 112x112x16
    Row(3, 64, 24, False, "RE", 2),  # 112x112x16
    Row(3, 72, 24, False, "RE", 1),  # 56x56x24
    Row(5, 72, 40, True, "RE", 2),  # 56x56x24
    Row(5, 120, 40, True, "RE", 1),  # 28x28x40
    Row(5, 120, 40, True, "RE", 1),  # 28x28x40
    Row(3, 240, 80, False, "HS", 2),  # 28x28x40
    Row(3, 200, 80, False, "HS", 1),  # 14x14x80
    Row(3, 184, 80, False, "HS", 1),  # 14x14x80
    Row(3, 184, 80, False, "HS", 1),  # 14x14x80
    Row(3, 480, 112, True, "HS", 1),  # 14x14x80
    Row(3, 672, 112, True, "HS", 1),  # 14x14x112
    Row(5, 672, 160, True, "HS", 2),  # 14x14x112
    Row(5, 960, 160, True, "HS", 1),  # 7x7x160
    Row(5, 960, 160, True, "HS", 1),  # 7x7x160
)

TABLE_2_SMALL = (
    # kernel, expanded, out, SE, NL, s       input
    Row(3, 16, 16, True, "RE", 2),  # 112x112x16
    Row(3, 72, 24, False, "RE", 2),  # 56x56x16
    Row(3, 88, 24, False, "RE", 1),  # 28x28x24
    Row(5, 96, 40, True, "HS", 2),  # 28x28x24
    Row(5, 240, 40, True, "HS", 1),  # 14x14x40
    Row(5, 240, 40, True, "HS", 1),  # 14x14x40
    Row(5, 120, 48, True, "HS", 1),  # 14x14x40
    Row(5, 144, 48, True, "HS", 1),  # 14x14x48
    Row(5, 288, 96, True, "HS", 2),  # 14x14x48
    Row(5, 576, 96, True, "HS", 1),  # 7x7x96
    Row(5, 576, 96, True, "HS", 1),  # 7x7x96
)

NONLINEARITIES: dict[str, Nonlinearity] = {"RE": nn.ReLU, "HS": nn.Hardswish}


def _minimalistic(table: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(row._replace(kernel=3, se=False, nl="RE") for row in table)


def _features(
    table: tuple[Row, ...], nl: str, last_conv: int, width: float, convention: Convention, reduced: Reduced = False
) -> nn.Sequential:
    nonlinearity, half = NONLINEARITIES[nl], 0.5 if reduced else 1.0
    channels = make_divisible(16 * width)
    layers: list[nn.Module] = [ConvNormActivation(3, channels, 3, convention, nonlinearity, stride=2)]
    unscaled = 16
    last_stage = max(index for index, row in enumerate(table) if row.s == 2)
    for index, row in enumerate(table):
        # The expansion is a ratio to the block's scaled input (Slim, timm), not a scaled size (torchvision's width_mult).
        entry = half if index == last_stage and reduced == "with entry" else 1.0
        expanded = make_divisible(channels * row.expanded / unscaled * entry)
        outputs = make_divisible(row.out * width * (half if index >= last_stage else 1.0))
        layers.append(
            InvertedResidual(channels, expanded, outputs, row.kernel, row.s, convention, NONLINEARITIES[row.nl], row.se)
        )
        channels, unscaled = outputs, row.out
    layers.append(ConvNormActivation(channels, make_divisible(last_conv * width * half), 1, convention, nonlinearity))
    return nn.Sequential(*layers)


def features_large(width: float, convention: Convention, reduced: Reduced = False) -> nn.Sequential:
    """Return the layers before pooling of Large; `reduced` halves the channels of the last stage (section 6.3)."""
    return _features(TABLE_1_LARGE, "HS", 960, width, convention, reduced)


def features_small(width: float, convention: Convention, reduced: Reduced = False) -> nn.Sequential:
    """Return the layers before pooling of Small; `reduced` halves the channels of the last stage (section 6.3)."""
    return _features(TABLE_2_SMALL, "HS", 576, width, convention, reduced)


def _build(
    table: tuple[Row, ...],
    nl: str,
    last_conv: int,
    after_pooling: int,
    width: float,
    classes: int,
    convention: Convention,
) -> Classifier:
    nonlinearity = NONLINEARITIES[nl]
    layers = _features(table, nl, last_conv, width, convention)
    classifier = nn.Sequential(
        nn.Linear(
            output_channels(layers), after_pooling
        ),  # the paper's 1x1 convolution without batch norm, on the pooled 1x1 map
        nonlinearity(),
        nn.Dropout(0.2),
        nn.Linear(after_pooling, classes),
    )
    return Classifier(layers, classifier)


def mobilenet_v3_large(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-3
) -> Classifier:
    """Build MobileNetV3-Large (Table 1) for (N, 3, H, W) images, H and W at least 32.

    Widths follow the published checkpoints (Slim, timm): outputs are make_divisible(channels * width), expansions
    make_divisible(scaled input * the table's ratio), and the layer after pooling keeps its 1280. torchvision's
    ``width_mult`` scales expansions and that layer directly and gives other networks.
    """
    convention = Convention(padding, batch_norm_epsilon)
    return _build(TABLE_1_LARGE, "HS", 960, 1280, width, classes, convention)


def mobilenet_v3_small(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-3
) -> Classifier:
    """Build MobileNetV3-Small (Table 2 of v5); arguments as :func:`mobilenet_v3_large`, 1024 channels after pooling."""
    convention = Convention(padding, batch_norm_epsilon)
    return _build(TABLE_2_SMALL, "HS", 576, 1024, width, classes, convention)


def mobilenet_v3_large_minimalistic(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-3
) -> Classifier:
    """Build the minimalistic MobileNetV3-Large; arguments as :func:`mobilenet_v3_large`."""
    convention = Convention(padding, batch_norm_epsilon)
    return _build(_minimalistic(TABLE_1_LARGE), "RE", 960, 1280, width, classes, convention)


def mobilenet_v3_small_minimalistic(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-3
) -> Classifier:
    """Build the minimalistic MobileNetV3-Small; arguments as :func:`mobilenet_v3_small`."""
    convention = Convention(padding, batch_norm_epsilon)
    return _build(_minimalistic(TABLE_2_SMALL), "RE", 576, 1024, width, classes, convention)
