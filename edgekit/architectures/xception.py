"""Xception. Chollet 2017, arXiv:1610.02357, Figure 5."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from edgekit.architectures.blocks import (
    Classifier,
    Convention,
    ConvNormActivation,
    Padding,
    StandaloneReLU,
    conv2d,
    max_pool,
)


class Row(NamedTuple):
    """One residual block of Figure 5: output channels of its separable convolutions, stride, repeats.

    The first block has no ReLU before its first convolution.
    """

    outs: tuple[int, ...]
    stride: int
    repeats: int = 1


FIGURE_5 = (
    # outs, stride, repeats      input
    Row((128, 128), 2),  # 147x147x64, entry flow
    Row((256, 256), 2),  # 74x74x128
    Row((728, 728), 2),  # 37x37x256
    Row((728, 728, 728), 1, 8),  # 19x19x728, middle flow
    Row((728, 1024), 2),  # 19x19x728, exit flow
)

EXIT = (1536, 2048)  # 10x10x1024: the last two separable convolutions, each followed by ReLU


def _separable(inputs: int, outputs: int, convention: Convention) -> list[nn.Module]:
    """Return a 3x3 depthwise and a 1x1 convolution with nothing between them, and batch normalisation after."""
    return [
        conv2d(inputs, inputs, 3, 1, inputs, convention.padding),
        conv2d(inputs, outputs, 1, 1, 1, convention.padding),
        nn.BatchNorm2d(outputs, eps=convention.batch_norm_epsilon),
    ]


class Block(nn.Module):
    """Separable convolutions, each after a ReLU, and max pooling if the stride is 2; the input is added."""

    def __init__(self, inputs: int, row: Row, convention: Convention, relu_first: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = inputs
        for index, outputs in enumerate(row.outs):
            if index or relu_first:
                layers.append(nn.ReLU() if index else StandaloneReLU(channels))
            layers += _separable(channels, outputs, convention)
            channels = outputs
        if row.stride > 1:
            layers.append(max_pool(3, row.stride, convention))
        self.rep = nn.Sequential(*layers)
        self.skip: nn.Module | None = None
        if row.stride > 1 or inputs != channels:
            self.skip = ConvNormActivation(inputs, channels, 1, convention, None, row.stride)

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outs[-1], H / stride, W / stride)."""
        shortcut = input if self.skip is None else self.skip(input)
        output: Tensor = self.rep(input) + shortcut
        return output


def xception(classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5) -> Classifier:
    """Build Xception for (N, 3, H, W) images, H and W at least 32; published at 299.

    The first two convolutions have no padding. `padding` matters for even sizes before a pooling; ``same`` is Keras'.
    """
    convention = Convention(padding, batch_norm_epsilon)
    valid = Convention("valid", batch_norm_epsilon)
    features: list[nn.Module] = [
        ConvNormActivation(3, 32, 3, valid, nn.ReLU, stride=2),  # 299x299x3
        ConvNormActivation(32, 64, 3, valid, nn.ReLU),  # 149x149x32
    ]
    channels = 64
    for row in FIGURE_5:
        for _ in range(row.repeats):
            features.append(Block(channels, row, convention, relu_first=row is not FIGURE_5[0]))
            channels = row.outs[-1]
    for outputs in EXIT:
        features.append(nn.Sequential(*_separable(channels, outputs, convention), nn.ReLU()))
        channels = outputs
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Dropout(0.5), nn.Linear(channels, classes)))
