"""LR-ASPP: the light segmentation head of MobileNetV3. Howard et al. 2019, arXiv:1905.02244v5, section 6.4 and Figure 10."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekit.architectures.backbone import Backbone, dilate
from edgekit.architectures.blocks import Convention, ConvNormActivation, Padding
from edgekit.architectures.deeplabv3 import segmentation_features, upsample
from edgekit.architectures.registry import OUTPUTS

POOLED, POOL_STRIDES = 49, (16, 20)
"""Figure 10: the window at output stride 16, on a 64 x 128 map, and its strides; a smaller map is pooled whole."""


class LRASPPSegmenter(nn.Module):
    """Coarse features, gated by pooled ones, and fine features (output stride 8) each become logits that are added."""

    output_names = OUTPUTS["segmentation"]

    def __init__(self, backbone: Backbone, filters: int, classes: int, convention: Convention) -> None:
        super().__init__()
        fine, coarse = backbone.channels
        self.backbone = backbone
        self.pointwise = ConvNormActivation(coarse, filters, 1, convention, nn.ReLU)
        self.gate = nn.Sequential(nn.Conv2d(coarse, filters, 1, bias=False), nn.Sigmoid())
        self.coarse_classifier = nn.Conv2d(filters, classes, 1)
        self.fine_classifier = nn.Conv2d(fine, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes, H, W) logits."""
        fine, coarse = self.backbone(images)
        gate = self.gate(pool_windows(coarse))
        gated = self.pointwise(coarse) * upsample(gate, coarse)
        return upsample(self.coarse_classifier(upsample(gated, fine)) + self.fine_classifier(fine), images)


def pool_windows(features: Tensor) -> Tensor:
    """Return the mean of each window of (N, C, H, W): an average pooling, written so that XNNPACK takes it in int8, too.

    It has no int8 average pooling, nor one whose strides exceed its window, but slices and means.
    """
    tops, lefts = (
        range(0, max(side - POOLED, 0) + 1, stride)
        for side, stride in zip(features.shape[2:], POOL_STRIDES, strict=True)
    )
    rows = [_window(features, 2, top) for top in tops]
    means = [
        torch.cat([_window(row, 3, left).mean((2, 3), keepdim=True) for left in lefts], 3)
        if len(lefts) > 1
        else _window(row, 3, 0).mean((2, 3), keepdim=True)
        for row in rows
    ]
    return torch.cat(means, 2) if len(means) > 1 else means[0]


def _window(features: Tensor, axis: int, start: int) -> Tensor:
    # A slice of everything becomes an alias, which Core ML's converter refuses and ExecuTorch leaves outside its delegate.
    return features if features.shape[axis] <= POOLED else features.narrow(axis, start, POOLED)


def lraspp(
    backbone: str,
    width: float = 1.0,
    classes: int = 19,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
    output_stride: int = 16,
    head_filters: int = 128,
    reduced: bool = True,
) -> LRASPPSegmenter:
    """Build a segmenter for (N, 3, H, W) images of any size; arguments as :func:`edgekit.architectures.deeplabv3.deeplabv3`."""
    convention = Convention(padding, batch_norm_epsilon)
    tapped = Backbone(segmentation_features(backbone, width, convention, reduced), stride=8)
    dilate(tapped.features, output_stride)  # after the tap was found, which follows from the strides
    return LRASPPSegmenter(tapped, head_filters, classes, convention)
