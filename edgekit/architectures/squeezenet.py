"""SqueezeNet 1.0 and 1.1. Iandola et al. 2016, arXiv:1602.07360, Table 1. State dict keys are torchvision's.

1.1 is the authors' (github.com/forresti/SqueezeNet, SqueezeNet_v1.1): a smaller first convolution, and poolings earlier.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.architectures.blocks import Convention, MaxPool2dSame, Padding, conv2d, initialise_without_norm


class Fire(NamedTuple):
    """One fire module: squeeze s1x1, expand e1x1 and e3x3."""

    s1x1: int
    e1x1: int
    e3x3: int


MAXPOOL = "maxpool/2"

TABLE_1 = (
    # s1x1, e1x1, e3x3       input
    MAXPOOL,  # 111x111x96
    Fire(16, 64, 64),  # 55x55x96
    Fire(16, 64, 64),  # 55x55x128
    Fire(32, 128, 128),  # 55x55x128
    MAXPOOL,  # 55x55x256
    Fire(32, 128, 128),  # 27x27x256
    Fire(48, 192, 192),  # 27x27x256
    Fire(48, 192, 192),  # 27x27x384
    Fire(64, 256, 256),  # 27x27x384
    MAXPOOL,  # 27x27x512
    Fire(64, 256, 256),  # 13x13x512
)

VERSION_1_1 = (
    # s1x1, e1x1, e3x3       input
    MAXPOOL,  # 111x111x64
    Fire(16, 64, 64),  # 55x55x64
    Fire(16, 64, 64),  # 55x55x128
    MAXPOOL,  # 55x55x128
    Fire(32, 128, 128),  # 27x27x128
    Fire(32, 128, 128),  # 27x27x256
    MAXPOOL,  # 27x27x256
    Fire(48, 192, 192),  # 13x13x256
    Fire(48, 192, 192),  # 13x13x384
    Fire(64, 256, 256),  # 13x13x384
    Fire(64, 256, 256),  # 13x13x512
)


class FireModule(nn.Module):
    """Squeeze (1x1), then expand by 1x1 and 3x3 convolutions side by side (section 3.2)."""

    def __init__(self, inputs: int, fire: Fire, padding: Padding) -> None:
        super().__init__()
        self.squeeze = conv2d(inputs, fire.s1x1, 1, 1, 1, padding, bias=True)
        self.expand1x1 = conv2d(fire.s1x1, fire.e1x1, 1, 1, 1, padding, bias=True)
        self.expand3x3 = conv2d(fire.s1x1, fire.e3x3, 3, 1, 1, padding, bias=True)

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, e1x1 + e3x3, H, W)."""
        squeezed = functional.relu(self.squeeze(input))
        return torch.cat([functional.relu(self.expand1x1(squeezed)), functional.relu(self.expand3x3(squeezed))], 1)


class SqueezeNet(nn.Module):
    """`features`, and `classifier`: a 1x1 convolution to the classes with ReLU, and global average pooling."""

    def __init__(self, table: tuple[Fire | str, ...], first: int, kernel: int, classes: int, padding: Padding) -> None:
        super().__init__()
        valid_in_torch = Convention("valid" if padding == "torch" else padding).padding
        features: list[nn.Module] = [conv2d(3, first, kernel, 2, 1, valid_in_torch, bias=True), nn.ReLU()]
        channels = first
        for row in table:
            if isinstance(row, Fire):
                features.append(FireModule(channels, row, padding))
                channels = row.e1x1 + row.e3x3
            else:
                features.append(nn.MaxPool2d(3, 2, ceil_mode=True) if padding == "torch" else MaxPool2dSame(3, 2))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(channels, classes, 1), nn.ReLU())
        initialise_without_norm(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) preprocessed images -> (N, classes) logits; they are means after ReLU, so none is negative."""
        scores: Tensor = self.classifier(self.features(images)).mean((2, 3), keepdim=True)
        return scores.flatten(1)


def squeezenet1_0(classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5) -> SqueezeNet:
    """Build SqueezeNet 1.0 (Table 1) for (N, 3, H, W) images, H and W at least 32.

    It has no batch normalisation: `batch_norm_epsilon` changes nothing. As in Caffe and torchvision the first convolution pads
    nothing and poolings round up; with ``same`` both are TensorFlow's, and the first convolution's output is a little larger.
    """
    return SqueezeNet(TABLE_1, 96, 7, classes, padding)


def squeezenet1_1(classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5) -> SqueezeNet:
    """Build SqueezeNet 1.1; arguments as :func:`squeezenet1_0`."""
    return SqueezeNet(VERSION_1_1, 64, 3, classes, padding)
