"""Classifiers' layers as backbones of detectors and segmenters: where heads read them, and atrous convolution."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edgekit.architectures import mnasnet, mobilenet_v1, mobilenet_v2, mobilenet_v3
from edgekit.architectures.blocks import Conv2dSame, Convention, InvertedResidual, Reduced, output_channels

Features = Callable[[float, Convention, Reduced], nn.Sequential]

BACKBONES: dict[str, Features] = {
    "mobilenet_v1": mobilenet_v1.features,
    "mobilenet_v2": mobilenet_v2.features,
    "mobilenet_v3_large": mobilenet_v3.features_large,
    "mobilenet_v3_small": mobilenet_v3.features_small,
    "mnasnet_a1": mnasnet.features_a1,
}
"""Name -> what builds the layers before pooling from width multiplier, convention and how the last stage is reduced."""


class Backbone(nn.Module):
    """Layers with a tap: forward returns (the tap's features, the last layer's features).

    The tap is at the first layer with a coarser output stride than `stride`. In an inverted residual it is the expansion
    (MobileNetV3 paper, section 6.3), else the layer's input.
    """

    def __init__(self, features: nn.Sequential, stride: int) -> None:
        super().__init__()
        self.features = features
        self.tap = first_beyond(features, stride)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of the tap and of the last layer."""
        layer = self.features[self.tap]
        tapped = layer.conv[0] if isinstance(layer, InvertedResidual) else self.features[: self.tap]
        return output_channels(tapped), output_channels(self.features)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, C, H / stride, W / stride), (N, C', H', W')."""
        features = images
        for index, layer in enumerate(self.features):
            if index == self.tap and isinstance(layer, InvertedResidual):
                tapped, features = layer.with_expansion(features)
            else:
                tapped = features if index == self.tap else tapped if index > self.tap else images
                features = layer(features)
        return tapped, features


def first_beyond(features: nn.Sequential, stride: int) -> int:
    """Return the index of the first layer whose output stride is coarser than `stride`; ValueError if none is."""
    reached = 1
    for index, layer in enumerate(features):
        reached *= _stride(layer)
        if reached > stride:
            return index
    raise ValueError(f"these layers reach output stride {reached} only")


def dilate(features: nn.Sequential, output_stride: int) -> nn.Sequential:
    """Turn the strides that lead beyond `output_stride` into dilation of what follows; returns `features`, changed in place.

    Atrous convolution as in DeepLab (arXiv:1606.00915): a convolution that loses its stride keeps the dilation before it.
    """
    reached = rate = 1
    for layer in features.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        stride = layer.stride[0]
        if reached * stride > output_stride:
            layer.stride = (1, 1)
        else:
            reached *= stride
        if layer.kernel_size[0] > 1:
            layer.dilation = (rate, rate)
            if not isinstance(layer, Conv2dSame):
                layer.padding = (rate * (layer.kernel_size[0] // 2),) * 2
        if layer.stride[0] != stride:
            rate *= stride
    return features


def _stride(module: nn.Module) -> int:
    stride = 1
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            stride *= layer.stride[0]
    return stride
