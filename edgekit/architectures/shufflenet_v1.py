"""ShuffleNet V1: grouped 1x1 convolutions and channel shuffle. Zhang et al. 2018, arXiv:1707.01083, Table 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.architectures.blocks import (
    AveragePool,
    Classifier,
    Convention,
    ConvNormActivation,
    Padding,
    ShuffleChannels,
    make_divisible,
    max_pool,
)
from edgekit.errors import UsageError

TABLE_1 = (
    # units with stride 2, with stride 1    input
    (1, 3),  # stage 2, 56x56x24
    (1, 7),  # stage 3, 28x28
    (1, 3),  # stage 4, 14x14
)

STAGE_2_CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Table 1: groups -> output channels of stage 2; each later stage has twice as many."""


class Unit(nn.Module):
    """1x1 grouped, shuffle, 3x3 depthwise, 1x1 grouped (Figure 2 b and c); a quarter of the outputs within.

    With stride 1 the input is added, with stride 2 its 3x3 average pooling is concatenated to the convolutions' output.
    """

    def __init__(
        self, inputs: int, outputs: int, groups: int, first_groups: int, stride: int, convention: Convention
    ) -> None:
        super().__init__()
        within = outputs // 4
        filtered = outputs - inputs if stride == 2 else outputs
        self.conv = nn.Sequential(
            ConvNormActivation(inputs, within, 1, convention, nn.ReLU, groups=first_groups),
            ShuffleChannels(groups),
            ConvNormActivation(within, within, 3, convention, None, stride, groups=within),
            ConvNormActivation(within, filtered, 1, convention, None, groups=groups),
        )
        self.pool = AveragePool(inputs, 3, 2, convention) if stride == 2 else None
        self.relu = nn.ReLU()

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        filtered = self.conv(input)
        if self.pool is None:
            output: Tensor = self.relu(filtered + input)
        else:  # what is pooled is a ReLU's output, so it needs none
            output = torch.cat([self.pool(input), self.relu(filtered)], 1)
        return output


def shufflenet_v1(
    width: float = 1.0,
    groups: int = 3,
    classes: int = 1000,
    padding: Padding = "torch",
    batch_norm_epsilon: float = 1e-5,
) -> Classifier:
    """Build ShuffleNet V1 for (N, 3, H, W) images, H and W at least 32, with 1, 2, 3, 4 or 8 `groups`.

    Channels are scaled by `width` and rounded to what the groups of a unit divide: the first convolution to a multiple of
    `groups`, stage 2 of 4 * `groups`. The first convolution keeps its 24 up to width 1.5 and has 48 at 2, as in the authors'
    code (megvii-model/ShuffleNet-Series). UsageError for another number of groups.
    """
    if groups not in STAGE_2_CHANNELS:
        known = ", ".join(map(str, STAGE_2_CHANNELS))
        raise UsageError(f"shufflenet_v1 has no variant of {groups} groups.", f"Groups of the paper: {known}.")
    convention = Convention(padding, batch_norm_epsilon)
    channels = make_divisible(24 * (width if width < 1 else int(width)), groups)
    features: list[nn.Module] = [
        ConvNormActivation(3, channels, 3, convention, nn.ReLU, stride=2),
        max_pool(3, 2, convention),
    ]
    outputs = make_divisible(STAGE_2_CHANNELS[groups] * width, 4 * groups)
    for stage, (halving, keeping) in enumerate(TABLE_1, start=2):
        for stride in [2] * halving + [1] * keeping:
            first_groups = 1 if stage == 2 and stride == 2 else groups  # its input is too narrow for groups
            features.append(Unit(channels, outputs, groups, first_groups, stride, convention))
            channels = outputs
        outputs *= 2
    return Classifier(nn.Sequential(*features), nn.Sequential(nn.Linear(channels, classes)))
