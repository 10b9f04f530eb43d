"""DeepLabV3 and its small relative R-ASPP. Chen et al. 2017, arXiv:1706.05587; MobileNetV2 paper, section 6.3.

With `aspp` the head has three atrous 3x3 convolutions beside the 1x1 convolution and the pooled branch; without, only these two:
the design that MobileNetV2's Table 7 prints without ASPP and the MobileNetV3 paper calls R-ASPP. On MobileNetV2 the
head is on the last bottleneck, without the 1280 channels after it (Table 7's asterisk).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.architectures import mobilenet_v2
from edgekit.architectures.backbone import BACKBONES, dilate
from edgekit.architectures.blocks import Convention, ConvNormActivation, Padding, Reduced, output_channels
from edgekit.architectures.registry import OUTPUTS

RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Output stride -> dilations of the three atrous convolutions (paper, section 4.1; 32 continues the series)."""


class Pyramid(nn.Module):
    """Pooled branch, 1x1 branch and, for each rate, an atrous 3x3 branch, concatenated and projected."""

    def __init__(self, inputs: int, filters: int, rates: tuple[int, ...], convention: Convention) -> None:
        super().__init__()
        self.pooled = ConvNormActivation(inputs, filters, 1, convention, nn.ReLU)
        self.pointwise = ConvNormActivation(inputs, filters, 1, convention, nn.ReLU)
        self.atrous = nn.ModuleList(
            ConvNormActivation(inputs, filters, 3, convention, nn.ReLU, dilation=rate) for rate in rates
        )
        self.project = ConvNormActivation(filters * (2 + len(rates)), filters, 1, convention, nn.ReLU)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, filters, H, W)."""
        pooled = self.pooled(features.mean((2, 3), keepdim=True))
        # Resized rather than expanded: the TFLite converter's BROADCAST_TO does not run, and TensorFlow resizes, too.
        branches = [upsample(pooled, features), self.pointwise(features), *(branch(features) for branch in self.atrous)]
        projected: Tensor = self.project(torch.cat(branches, 1))
        return projected


class Segmenter(nn.Module):
    """`features`, `head`, `classifier` (1x1), and bilinear upsampling to the input's size."""

    output_names = OUTPUTS["segmentation"]

    def __init__(self, features: nn.Sequential, head: Pyramid, filters: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = head
        self.classifier = nn.Conv2d(filters, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes, H, W) logits."""
        return upsample(self.classifier(self.head(self.features(images))), images)


def upsample(input: Tensor, like: Tensor) -> Tensor:
    """Resize (N, C, h, w) bilinearly to the height and width of `like`, corners upon corners as TensorFlow's DeepLab does."""
    return functional.interpolate(input, like.shape[2:], mode="bilinear", align_corners=True)


def segmentation_features(
    backbone: str, width: float, convention: Convention, reduced: bool, divisor: int = 8
) -> nn.Sequential:
    """Return the layers of a backbone below a segmentation head.

    MobileNetV2 comes without its last convolution, and its channels can be multiples of another `divisor` than 8.
    """
    half: Reduced = "with entry" if reduced else False
    if backbone == "mobilenet_v2":
        return nn.Sequential(*list(mobilenet_v2.features(width, convention, half, divisor=divisor))[:-1])
    return BACKBONES[backbone](width, convention, half)


def deeplabv3(
    backbone: str,
    width: float = 1.0,
    classes: int = 21,
    padding: Padding = "same",
    batch_norm_epsilon: float = 1e-3,
    aspp: bool = True,
    output_stride: int = 16,
    head_filters: int = 256,
    reduced: bool = False,
    divisor: int = 8,
) -> Segmenter:
    """Build a segmenter for (N, 3, H, W) images of any size; `classes` include the background.

    `reduced` halves the backbone's last stage (MobileNetV3 paper, RF2 of Table 7). `divisor`: of MobileNetV2's channels; the
    released network of width 0.5 has 1, so that 12 channels stay 12.
    """
    convention = Convention(padding, batch_norm_epsilon)
    features = dilate(segmentation_features(backbone, width, convention, reduced, divisor), output_stride)
    head = Pyramid(output_channels(features), head_filters, RATES[output_stride] if aspp else (), convention)
    return Segmenter(features, head, head_filters, classes)
