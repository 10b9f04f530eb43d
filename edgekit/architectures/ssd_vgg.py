"""SSD300 on VGG-16. Liu et al. 2016, arXiv:1512.02325, section 3 and Figure 2: what the mobile papers compare with.

VGG's fully connected layers are convolutions here, the first of them atrous. Parameters are those of torchvision's
``ssd300_vgg16``: 35,641,826 with 91 classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgekit.architectures.blocks import Convention, Padding, conv2d, initialise_without_norm, max_pool
from edgekit.architectures.ssd import Detector
from edgekit.architectures.vgg import TABLE_1_D

ANCHORS = (4, 6, 6, 6, 4, 4)
"""Anchors at each place of the six maps (Figure 2)."""
FIRST_SCALE = 20.0  # section 3.1
DILATION = 6


class Row(NamedTuple):
    """One stage after the backbone: channels of its 1x1 and 3x3 convolution, stride and padding of the latter."""

    between: int
    out: int
    stride: int
    padding: int


FIGURE_2 = (
    # between, out, stride, padding    input
    Row(256, 512, 2, 1),  # 19x19x1024
    Row(128, 256, 2, 1),  # 10x10x512
    Row(128, 256, 1, 0),  # 5x5x256
    Row(128, 256, 1, 0),  # 3x3x256
)


class L2Norm(nn.Module):
    """Divide each place by its length over the channels and multiply with a learned `weight` (arXiv:1506.04579)."""

    SHORTEST = 1e-12
    """What a length is at least, as in torch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), FIRST_SCALE))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        length: Tensor = torch.linalg.vector_norm(input, dim=1, keepdim=True).clamp_min(self.SHORTEST)
        return input / length * self.weight.view(1, -1, 1, 1)


class VGGBackbone(nn.Module):
    """VGG-16 to conv4_3, normalised, and on to fc7: 512 and 1024 channels."""

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        inputs = (3, *(row[-1] for row in TABLE_1_D[:-1]))
        first, second, third, fourth, fifth = (
            _convolutions(row, channels, padding) for row, channels in zip(TABLE_1_D, inputs, strict=True)
        )
        down, up = Convention("valid"), Convention("same")  # the third pooling rounds up, so that 75 pixels become 38
        self.fine = nn.Sequential(
            *first, max_pool(2, 2, down), *second, max_pool(2, 2, down), *third, max_pool(2, 2, up), *fourth
        )
        self.norm = L2Norm(512)
        self.coarse = nn.Sequential(
            max_pool(2, 2, down),
            *fifth,
            max_pool(3, 1, Convention("torch")),
            nn.Conv2d(512, 1024, 3, padding=DILATION, dilation=DILATION),
            nn.ReLU(),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 512, H / 8, W / 8), (N, 1024, H / 16, W / 16)."""
        fine = self.fine(images)
        return self.norm(fine), self.coarse(fine)


def ssd300_vgg16(classes: int = 91, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5) -> Detector:
    """Build SSD300 for (N, 3, 300, 300) images; `classes` include the background (class 0).

    It has no batch normalisation: `batch_norm_epsilon` changes nothing. Its anchors:
    :func:`edgekit.evaluation.detection.ssd300_anchors`.
    """
    extras, channels = nn.ModuleList(), 1024
    for row in FIGURE_2:
        last = nn.Conv2d(row.between, row.out, 3, row.stride, row.padding)
        extras.append(nn.Sequential(nn.Conv2d(channels, row.between, 1), nn.ReLU(), last, nn.ReLU()))
        channels = row.out
    convention = Convention(padding, batch_norm_epsilon)
    detector = Detector(VGGBackbone(padding), (512, 1024), extras, classes, False, convention, ANCHORS)
    initialise_without_norm(detector)
    return detector


def _convolutions(row: tuple[int, ...], inputs: int, padding: Padding) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for outputs in row:
        layers += [conv2d(inputs, outputs, 3, 1, 1, padding, bias=True), nn.ReLU()]
        inputs = outputs
    return layers
