"""Inception V3. Szegedy et al. 2016, arXiv:1512.00567, Table 1 and Figures 5 to 7, 10, without the auxiliary head.

If table and figures do not state a width, it is that of TensorFlow's ``inception_v3`` (Slim), as in torchvision.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from edgekit.architectures.blocks import (
    AveragePool,
    Branches,
    Classifier,
    Convention,
    ConvNormActivation,
    Kernel,
    Padding,
    StandaloneReLU,
)


class Modules:
    """The inception modules of Table 1 for a convention; each takes (N, inputs, H, W)."""

    def __init__(self, convention: Convention) -> None:
        self.convention = convention
        self.valid = Convention("valid", convention.batch_norm_epsilon)

    def conv(self, inputs: int, outputs: int, kernel: Kernel) -> ConvNormActivation:
        """Return a convolution that keeps the size."""
        return ConvNormActivation(inputs, outputs, kernel, self.convention, nn.ReLU)

    def reducing(self, inputs: int, outputs: int) -> ConvNormActivation:
        """Return a 3x3 convolution with stride 2 and no padding."""
        return ConvNormActivation(inputs, outputs, 3, self.valid, nn.ReLU, stride=2)

    def chain(self, inputs: int, *layers: tuple[int, Kernel]) -> nn.Sequential:
        """Return convolutions one after the other, each (output channels, kernel)."""
        convolutions = []
        for outputs, kernel in layers:
            convolutions.append(self.conv(inputs, outputs, kernel))
            inputs = outputs
        return nn.Sequential(*convolutions)

    def pooled(self, inputs: int, outputs: int) -> nn.Sequential:
        """Return an average pooling and a 1x1 convolution."""
        return nn.Sequential(AveragePool(inputs, 3, 1, self.convention), self.conv(inputs, outputs, 1))

    def figure_5(self, inputs: int, pool: int) -> Branches:
        """5x5 and two 3x3 convolutions; 224 + `pool` channels."""
        return Branches(
            [
                self.conv(inputs, 64, 1),
                self.chain(inputs, (48, 1), (64, 5)),
                self.chain(inputs, (64, 1), (96, 3), (96, 3)),
                self.pooled(inputs, pool),
            ]
        )

    def figure_10(self, inputs: int) -> Branches:
        """Halve the grid with 3x3 convolutions and pooling; 480 channels and the input's."""
        return Branches(
            [
                self.reducing(inputs, 384),
                self.chain(inputs, (64, 1), (96, 3)).append(self.reducing(96, 96)),
                nn.MaxPool2d(3, 2),
            ]
        )

    def figure_6(self, inputs: int, n: int) -> Branches:
        """7x7 convolutions factorised into 1x7 and 7x1, `n` channels within; 768 channels."""
        row, column = (1, 7), (7, 1)
        return Branches(
            [
                self.conv(inputs, 192, 1),
                self.chain(inputs, (n, 1), (n, row), (192, column)),
                self.chain(inputs, (n, 1), (n, column), (n, row), (n, column), (192, row)),
                self.pooled(inputs, 192),
            ]
        )

    def second_reduction(self, inputs: int) -> Branches:
        """Halve the grid again; 512 channels and the input's."""
        return Branches(
            [
                self.chain(inputs, (192, 1)).append(self.reducing(192, 320)),
                self.chain(inputs, (192, 1), (192, (1, 7)), (192, (7, 1))).append(self.reducing(192, 192)),
                nn.MaxPool2d(3, 2),
            ]
        )

    def figure_7(self, inputs: int) -> Branches:
        """3x3 convolutions whose filter bank is spread into 1x3 and 3x1 side by side; 2048 channels."""
        return Branches(
            [
                self.conv(inputs, 320, 1),
                self._spread(self.chain(inputs, (384, 1))),
                self._spread(self.chain(inputs, (448, 1), (384, 3))),
                self.pooled(inputs, 192),
            ]
        )

    def _spread(self, chain: nn.Sequential) -> nn.Sequential:
        """Append 1x3 and 3x1 convolutions side by side.

        Their ReLU comes after the concatenation, which keeps converters from merging it with the outer one: XNNPACK concatenates
        at most five tensors.
        """
        sides = [ConvNormActivation(384, 384, kernel, self.convention, None) for kernel in ((1, 3), (3, 1))]
        return chain.append(Branches(sides)).append(StandaloneReLU(768))


def inception_v3(classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-3) -> Classifier:
    """Build Inception V3 for (N, 3, H, W) images, H and W at least 75; published at 299.

    Every convolution that pads has stride 1, so `padding` changes only what average poolings do at the border.
    """
    modules = Modules(Convention(padding, batch_norm_epsilon))
    valid = modules.valid
    features: dict[str, nn.Module] = {
        "Conv2d_1a_3x3": ConvNormActivation(3, 32, 3, valid, nn.ReLU, stride=2),  # 299x299x3
        "Conv2d_2a_3x3": ConvNormActivation(32, 32, 3, valid, nn.ReLU),  # 149x149x32
        "Conv2d_2b_3x3": modules.conv(32, 64, 3),  # 147x147x32
        "maxpool1": nn.MaxPool2d(3, 2),  # 147x147x64
        "Conv2d_3b_1x1": modules.conv(64, 80, 1),  # 73x73x64
        "Conv2d_4a_3x3": ConvNormActivation(80, 192, 3, valid, nn.ReLU),  # 73x73x80
        "maxpool2": nn.MaxPool2d(3, 2),  # 71x71x192
        "Mixed_5b": modules.figure_5(192, pool=32),  # 35x35x192
        "Mixed_5c": modules.figure_5(256, pool=64),  # 35x35x256
        "Mixed_5d": modules.figure_5(288, pool=64),  # 35x35x288
        "Mixed_6a": modules.figure_10(288),  # 35x35x288
        "Mixed_6b": modules.figure_6(768, n=128),  # 17x17x768
        "Mixed_6c": modules.figure_6(768, n=160),  # 17x17x768
        "Mixed_6d": modules.figure_6(768, n=160),  # 17x17x768
        "Mixed_6e": modules.figure_6(768, n=192),  # 17x17x768
        "Mixed_7a": modules.second_reduction(768),  # 17x17x768
        "Mixed_7b": modules.figure_7(1280),  # 8x8x1280
        "Mixed_7c": modules.figure_7(2048),  # 8x8x2048
    }
    classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(2048, classes))
    return Classifier(nn.Sequential(OrderedDict(features)), classifier)
