"""Building blocks that the mobile architectures share.

Every tensor is float32, NCHW. Names follow the papers: depthwise separable convolution (MobileNetV1, arXiv:1704.04861),
inverted residual with linear bottleneck (MobileNetV2, arXiv:1801.04381), squeeze-and-excitation and h-swish
(MobileNetV3, arXiv:1905.02244). Submodule indices of :class:`InvertedResidual` are those of torchvision's MobileNetV2,
so that its checkpoint loads strictly and without a key map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.models import OUTPUTS

Padding = Literal["same", "torch"]
Nonlinearity = Callable[[], nn.Module]
Reduced = bool | Literal["with entry"]
"""Whether the channels of a backbone's last stage are halved, in V3 also those of the expansion that leads into it.

Detectors read that expansion and keep it whole; MobileNetV3's segmenters halve it, too: their printed parameters say so.
"""


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of `divisor`, never more than 10 % below `channels`.

    Source: TensorFlow Slim, ``nets/mobilenet/mobilenet.py``; used for every width of MobileNetV2 and V3.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclass(frozen=True)
class Convention:
    """What frameworks do differently around a convolution.

    `padding`: ``torch`` pads kernel//2 on both sides; ``same`` pads as TensorFlow does (for an even input and stride 2 the
    extra row and column go to the bottom right). `batch_norm_epsilon`: 1e-5 in PyTorch, 1e-3 in TensorFlow Slim.
    """

    padding: Padding = "torch"
    batch_norm_epsilon: float = 1e-5


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME``: output size is ceil(input size / stride)."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, H, W); the padding follows from H and W, which are fixed at export.

        Padding that is equal on both sides is left to the convolution: converters do not fuse a separate pad.
        """
        height, width = (self._total(input.shape[2 + axis], axis) for axis in (0, 1))
        symmetric = (height // 2, width // 2) if height % 2 == width % 2 == 0 else (0, 0)
        if symmetric == (0, 0) and (height or width):
            input = functional.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return functional.conv2d(input, self.weight, self.bias, self.stride, symmetric, self.dilation, self.groups)

    def _total(self, size: int, axis: int) -> int:
        stride, kernel = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def conv2d(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, padding: Padding, bias: bool = False
) -> nn.Conv2d:
    """Return a square convolution with the padding rule asked for."""
    if padding == "same" and kernel > 1:
        return Conv2dSame(inputs, outputs, kernel, stride, groups=groups, bias=bias)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


class ConvNormActivation(nn.Sequential):
    """Convolution (0), batch normalisation (1) and, unless `nonlinearity` is None, the nonlinearity (2)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        convention: Convention,
        nonlinearity: Nonlinearity | None,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        layers: list[nn.Module] = [
            conv2d(inputs, outputs, kernel, stride, groups, convention.padding),
            nn.BatchNorm2d(outputs, eps=convention.batch_norm_epsilon),
        ]
        if nonlinearity is not None:
            layers.append(nonlinearity())
        super().__init__(*layers)


class DepthwiseSeparable(nn.Sequential):
    """Depthwise convolution (0), then pointwise convolution (1), each with batch norm and nonlinearity (MobileNetV1)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, convention: Convention, nonlinearity: Nonlinearity
    ) -> None:
        super().__init__(
            ConvNormActivation(inputs, inputs, 3, convention, nonlinearity, stride, groups=inputs),
            ConvNormActivation(inputs, outputs, 1, convention, nonlinearity),
        )


class SqueezeExcite(nn.Module):
    """Scale the channels by what two 1x1 convolutions make of their means (MobileNetV3, section 5.3).

    The squeezed width is make_divisible(channels / 4); the gate is the h-sigmoid ReLU6(x + 3) / 6.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = make_divisible(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        mean = input.mean((2, 3), keepdim=True)
        scale: Tensor = self.gate(self.fc2(self.relu(self.fc1(mean))))
        return input * scale


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise), optionally squeeze-and-excite, project (1x1, linear).

    The input is added to the output where stride is 1 and the channel counts agree. There is no expansion layer where
    `expanded` equals `inputs`. Sources: MobileNetV2 section 3.3, MobileNetV3 section 5.
    """

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        kernel: int,
        stride: int,
        convention: Convention,
        nonlinearity: Nonlinearity,
        squeeze_excite: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(ConvNormActivation(inputs, expanded, 1, convention, nonlinearity))
        layers.append(ConvNormActivation(expanded, expanded, kernel, convention, nonlinearity, stride, expanded))
        if squeeze_excite:
            layers.append(SqueezeExcite(expanded))
        layers += ConvNormActivation(expanded, outputs, 1, convention, None)  # unpacked: torchvision's indices
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        output: Tensor = self.conv(input)
        return input + output if self.residual else output

    def with_expansion(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expansion layer's output and the block's; for blocks that expand and have no residual."""
        expand, *rest = self.conv
        expansion: Tensor = expand(input)
        output = expansion
        for layer in rest:
            output = layer(output)
        return expansion, output


def output_channels(module: nn.Module) -> int:
    """Return the channels of what a stack of convolutions returns."""
    return [layer.out_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)][-1]


class Classifier(nn.Module):
    """An image classifier: `features`, global average pooling, `classifier`."""

    outputs = OUTPUTS["classification"]

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) preprocessed images -> (N, classes) logits."""
        pooled = self.features(images).mean((2, 3), keepdim=True).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits


def settle_batch_norm(model: nn.Module, images: Tensor, batch_size: int = 8) -> None:
    """Give a randomly initialised model the batch-norm statistics that `images` (N, 3, H, W) cause.

    Untrained statistics (mean 0, variance 1) make activations vanish and int8 scales useless. The statistics become the
    plain average over the batches; the model is left in eval mode.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    model.train()
    with torch.no_grad():
        for batch in torch.split(images, batch_size):
            model(batch)
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
