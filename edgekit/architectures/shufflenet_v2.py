"""ShuffleNet V2: split, filter one half, shuffle. Ma et al. 2018, arXiv:1807.11164, Table 5. Keys are torchvision's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.architectures.blocks import Convention, ConvNormActivation, Padding, ShuffleChannels, max_pool
from edgekit.errors import UsageError

TABLE_5 = (
    # units with stride 2, with stride 1    input
    (1, 3),  # stage 2, 56x56x24
    (1, 7),  # stage 3, 28x28
    (1, 3),  # stage 4, 14x14
)

CHANNELS = {
    # width: stage 2, stage 3, stage 4, conv 5
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
"""Table 5: the widths are given as channel counts, no formula makes them."""


class Unit(nn.Module):
    """Half of the channels pass (stride 1) or all are filtered twice (stride 2), then both halves are shuffled (Figure 3)."""

    def __init__(self, inputs: int, outputs: int, stride: int, convention: Convention) -> None:
        super().__init__()
        half = outputs // 2
        self.split = stride == 1
        filtered = half if self.split else inputs
        self.branch1 = nn.Sequential()
        if not self.split:
            self.branch1 = nn.Sequential(
                *ConvNormActivation(inputs, inputs, 3, convention, None, stride, groups=inputs),
                *ConvNormActivation(inputs, half, 1, convention, nn.ReLU),
            )
        self.branch2 = nn.Sequential(
            *ConvNormActivation(filtered, half, 1, convention, nn.ReLU),
            *ConvNormActivation(half, half, 3, convention, None, stride, groups=half),
            *ConvNormActivation(half, half, 1, convention, nn.ReLU),
        )
        self.shuffle = ShuffleChannels(2)

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        half = input.shape[1] // 2  # slices, because XNNPACK has no operator that splits
        passing, filtered = (input[:, :half], input[:, half:]) if self.split else (self.branch1(input), input)
        output: Tensor = self.shuffle(torch.cat([passing, self.branch2(filtered)], 1))
        return output


class ShuffleNetV2(nn.Module):
    """Table 5 from `conv1` to `fc`."""

    def __init__(self, channels: tuple[int, ...], classes: int, convention: Convention) -> None:
        super().__init__()
        *stages, last = channels
        self.conv1 = ConvNormActivation(3, 24, 3, convention, nn.ReLU, stride=2)
        self.maxpool = max_pool(3, 2, convention)
        inputs = 24
        for stage, (outputs, (halving, keeping)) in enumerate(zip(stages, TABLE_5, strict=True), start=2):
            units: list[nn.Module] = []
            for stride in [2] * halving + [1] * keeping:
                units.append(Unit(inputs, outputs, stride, convention))
                inputs = outputs
            self.add_module(f"stage{stage}", nn.Sequential(*units))
        self.conv5 = ConvNormActivation(inputs, last, 1, convention, nn.ReLU)
        self.fc = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) preprocessed images -> (N, classes) logits."""
        features = self.maxpool(self.conv1(images))
        for stage in range(2, 2 + len(TABLE_5)):
            features = self.get_submodule(f"stage{stage}")(features)
        logits: Tensor = self.fc(self.conv5(features).mean((2, 3), keepdim=True).flatten(1))
        return logits


def shufflenet_v2(
    width: float = 1.0, classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5
) -> ShuffleNetV2:
    """Build ShuffleNet V2 for (N, 3, H, W) images, H and W at least 32, of width 0.5, 1.0, 1.5 or 2.0; UsageError for others."""
    if width not in CHANNELS:
        known = ", ".join(map(str, CHANNELS))
        raise UsageError(f"shufflenet_v2 has no variant of width {width}.", f"Widths of the paper: {known}.")
    return ShuffleNetV2(CHANNELS[width], classes, Convention(padding, batch_norm_epsilon))
