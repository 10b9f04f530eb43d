"""ResNet-18, 34 and 50. He et al. 2016, arXiv:1512.03385, Table 1. State dict keys are torchvision's.

In ResNet-50 the stride is that of the 3x3 convolution (torchvision, "v1.5": 4.1 billion multiply-adds), not of the 1x1 before it
as in the paper (3.8 billion).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from edgekit.architectures.blocks import Convention, Padding, conv2d, deepened, make_divisible, max_pool


class Row(NamedTuple):
    """One row of Table 1: channels, stride of the first block, blocks of ResNet-18, of ResNet-34, and of ResNet-50."""

    channels: int
    s: int
    blocks_18: int
    blocks_34: int
    blocks_50: int


TABLE_1 = (
    # channels, s, 18, 34, 50-layer   input
    Row(64, 1, 2, 3, 3),  # 56x56
    Row(128, 2, 2, 4, 4),  # 56x56
    Row(256, 2, 2, 6, 6),  # 28x28
    Row(512, 2, 2, 3, 3),  # 14x14
)


class _Block(nn.Module, ABC):
    """The common part of both blocks: the input, projected if its shape differs, is added before the last ReLU."""

    expansion: int

    def __init__(self, inputs: int, outputs: int, stride: int, convention: Convention) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                conv2d(inputs, outputs, 1, stride, 1, convention.padding),
                nn.BatchNorm2d(outputs, eps=convention.batch_norm_epsilon),
            )

    @abstractmethod
    def residual(self, input: Tensor) -> Tensor:
        """Return what is added to the input."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, channels * expansion, H / stride, W / stride)."""
        shortcut = input if self.downsample is None else self.downsample(input)
        output: Tensor = self.relu(self.residual(input) + shortcut)
        return output


class BasicBlock(_Block):
    """Two 3x3 convolutions (Figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int, convention: Convention) -> None:
        super().__init__(inputs, channels, stride, convention)
        padding, epsilon = convention.padding, convention.batch_norm_epsilon
        self.conv1 = conv2d(inputs, channels, 3, stride, 1, padding)
        self.bn1 = nn.BatchNorm2d(channels, eps=epsilon)
        self.conv2 = conv2d(channels, channels, 3, 1, 1, padding)
        self.bn2 = nn.BatchNorm2d(channels, eps=epsilon)

    def residual(self, input: Tensor) -> Tensor:
        """Return what is added to the input."""
        output: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(input)))))
        return output


class Bottleneck(_Block):
    """1x1, 3x3 with the stride, and 1x1 to four times the channels (Figure 5, right)."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int, convention: Convention) -> None:
        outputs = channels * self.expansion
        super().__init__(inputs, outputs, stride, convention)
        padding, epsilon = convention.padding, convention.batch_norm_epsilon
        self.conv1 = conv2d(inputs, channels, 1, 1, 1, padding)
        self.bn1 = nn.BatchNorm2d(channels, eps=epsilon)
        self.conv2 = conv2d(channels, channels, 3, stride, 1, padding)
        self.bn2 = nn.BatchNorm2d(channels, eps=epsilon)
        self.conv3 = conv2d(channels, outputs, 1, 1, 1, padding)
        self.bn3 = nn.BatchNorm2d(outputs, eps=epsilon)

    def residual(self, input: Tensor) -> Tensor:
        """Return what is added to the input."""
        filtered = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(input))))))
        output: Tensor = self.bn3(self.conv3(filtered))
        return output


class ResNet(nn.Module):
    """A 7x7 convolution, max pooling, the four rows of Table 1, global average pooling, and `fc`."""

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        blocks: tuple[int, ...],
        width: float,
        classes: int,
        convention: Convention,
    ) -> None:
        super().__init__()
        channels = make_divisible(64 * width)
        self.conv1 = conv2d(3, channels, 7, 2, 1, convention.padding)
        self.bn1 = nn.BatchNorm2d(channels, eps=convention.batch_norm_epsilon)
        self.relu = nn.ReLU()
        self.maxpool = max_pool(3, 2, convention)
        for number, (row, count) in enumerate(zip(TABLE_1, blocks, strict=True), start=1):
            layer: list[nn.Module] = []
            scaled = make_divisible(row.channels * width)
            for index in range(count):
                layer.append(block(channels, scaled, row.s if index == 0 else 1, convention))
                channels = scaled * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) preprocessed images -> (N, classes) logits."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for number in range(1, len(TABLE_1) + 1):
            features = self.get_submodule(f"layer{number}")(features)
        logits: Tensor = self.fc(features.mean((2, 3), keepdim=True).flatten(1))
        return logits


def resnet18(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5
) -> ResNet:
    """Build ResNet-18; arguments as :func:`resnet50`."""
    blocks = tuple(row.blocks_18 for row in TABLE_1)
    return ResNet(BasicBlock, blocks, width, classes, Convention(padding, batch_norm_epsilon))


def resnet34(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5
) -> ResNet:
    """Build ResNet-34; arguments as :func:`resnet50`."""
    blocks = tuple(row.blocks_34 for row in TABLE_1)
    return ResNet(BasicBlock, blocks, width, classes, Convention(padding, batch_norm_epsilon))


def resnet50(
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = 1000,
    padding: Padding = "torch",
    batch_norm_epsilon: float = 1e-5,
) -> ResNet:
    """Build ResNet-50 for (N, 3, H, W) images, H and W at least 32.

    `width` and `depth` are the coefficients of the EfficientNet paper (arXiv:1905.11946, Table 3): channels become
    make_divisible(channels * width), the blocks of each row ceil(blocks * depth).
    """
    blocks = tuple(deepened(row.blocks_50, depth) for row in TABLE_1)
    return ResNet(Bottleneck, blocks, width, classes, Convention(padding, batch_norm_epsilon))
