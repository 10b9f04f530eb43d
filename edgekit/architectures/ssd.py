"""SSD and SSDLite: single-shot detectors. Liu et al. 2016, arXiv:1512.02325; SSDLite: MobileNetV2 paper, section 6.2.

The layers after the backbone and the predictors are those of the TensorFlow object detection API
(``ssd_mobilenet_v2_feature_extractor``, ``ssd_mobilenet_v3_feature_extractor``), from which the papers' figures come. Six
feature maps: the backbone's at output strides 16 and 32 and four more, each half as wide as the one before. The graph ends before
non-maximum suppression; anchors, decoding and suppression are in :mod:`edgekit.evaluation.detection`.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor, nn

from edgekit.architectures.backbone import BACKBONES, Backbone
from edgekit.architectures.blocks import Convention, ConvNormActivation, Padding, output_channels
from edgekit.architectures.registry import OUTPUTS

EXTRA_CHANNELS = (512, 256, 256, 128)
"""Channels of the four maps after the backbone, at width 1."""
ANCHORS = (3, 6, 6, 6, 6, 6)
"""Anchors at each place of the six maps; fewer in the finest one."""
FEWEST_CHANNELS = 16


class Detector(nn.Module):
    """`backbone` with two maps of `channels`, `extras` with one more each, and a class and a box predictor for every map.

    `anchors` are those at each place of the maps.
    """

    output_names = OUTPUTS["detection"]

    def __init__(
        self,
        backbone: nn.Module,
        channels: tuple[int, int],
        extras: nn.ModuleList,
        classes: int,
        lite: bool,
        convention: Convention,
        anchors: tuple[int, ...] = ANCHORS,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.extras = extras
        self.classes = classes
        self.anchors = anchors
        every = [*channels, *(output_channels(extra) for extra in extras)]
        places = list(zip(every, anchors, strict=True))
        self.class_heads = nn.ModuleList(_predictor(c, count * classes, lite, convention) for c, count in places)
        self.box_heads = nn.ModuleList(_predictor(c, count * 4, lite, convention) for c, count in places)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> class logits (N, anchors, classes), box codes (N, anchors, 4).

        Anchors run map by map, row by row, column by column, then in the order of
        :func:`edgekit.evaluation.detection.ssd_anchors`.
        """
        maps = list(self.backbone(images))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = [head(features) for head, features in zip(self.class_heads, maps, strict=True)]
        codes = [head(features) for head, features in zip(self.box_heads, maps, strict=True)]
        return self._joined(logits, self.classes), self._joined(codes, 4)

    def _joined(self, maps: list[Tensor], size: int) -> Tensor:
        """Return (N, anchors, size) of maps (N, anchors here * size, H, W).

        Successive maps with equally many anchors at a place are joined by places first: XNNPACK concatenates at most five tensors
        at once, and without the reshape between them the TFLite converter makes one of two concatenations.
        """
        images, joined = maps[0].shape[0], []
        for count, group in groupby(zip(self.anchors, maps, strict=True), key=itemgetter(0)):
            places = [tensor.permute(0, 2, 3, 1).reshape(images, -1, count * size) for _, tensor in group]
            joined.append((torch.cat(places, 1) if len(places) > 1 else places[0]).reshape(images, -1, size))
        return torch.cat(joined, 1)


def ssd(
    backbone: str,
    width: float = 1.0,
    classes: int = 91,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
    reduced: bool = False,
    lite: bool = True,
) -> Detector:
    """Build a detector of `classes` classes, the background (class 0) among them, on a backbone of that name.

    `reduced` halves the backbone's last stage (MobileNetV3 paper, section 6.3). Without `lite` the predictors are full 3x3
    convolutions, as in the released SSD-MobileNetV2; the layers between are depthwise separable there, too.
    """
    convention = Convention(padding, batch_norm_epsilon)
    tapped = Backbone(BACKBONES[backbone](width, convention, reduced), stride=16)
    extras, channels = nn.ModuleList(), tapped.channels[1]
    for unscaled in EXTRA_CHANNELS:
        outputs, between = (max(int(count * width), FEWEST_CHANNELS) for count in (unscaled, unscaled // 2))
        extras.append(_extra(channels, between, outputs, convention))
        channels = outputs
    return Detector(tapped, tapped.channels, extras, classes, lite, convention)


def _extra(inputs: int, between: int, outputs: int, convention: Convention) -> nn.Sequential:
    return nn.Sequential(
        ConvNormActivation(inputs, between, 1, convention, nn.ReLU6),
        ConvNormActivation(between, between, 3, convention, nn.ReLU6, stride=2, groups=between),
        ConvNormActivation(between, outputs, 1, convention, nn.ReLU6),
    )


def _predictor(inputs: int, outputs: int, lite: bool, convention: Convention) -> nn.Module:
    """Return a 3x3 convolution, or where `lite` a depthwise one and a pointwise one."""
    if not lite:
        return nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(
        ConvNormActivation(inputs, inputs, 3, convention, nn.ReLU6, groups=inputs), nn.Conv2d(inputs, outputs, 1)
    )
