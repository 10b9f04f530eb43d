"""Building blocks that the mobile architectures share.

Every tensor is float32, NCHW. Names follow the papers: depthwise separable convolution (MobileNetV1, arXiv:1704.04861),
inverted residual with linear bottleneck (MobileNetV2, arXiv:1801.04381), squeeze-and-excitation and h-swish
(MobileNetV3, arXiv:1905.02244). Submodule indices of :class:`InvertedResidual` are those of torchvision's MobileNetV2,
so that its checkpoint loads strictly and without a key map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.architectures.registry import OUTPUTS

Padding = Literal["same", "torch"]
Nonlinearity = Callable[[], nn.Module]
Kernel = int | tuple[int, int]
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


def deepened(repeats: int, depth: float) -> int:
    """Return how often a layer is repeated at a depth coefficient: ceil(repeats * depth) (EfficientNet, arXiv:1905.11946).

    The product is rounded to nine digits first, because 10 * 1.1 is a little more than 11 in floating point.
    """
    return ceil(round(repeats * depth, 9))


@dataclass(frozen=True)
class Convention:
    """What frameworks do differently around a convolution.

    `padding`: ``torch`` pads kernel//2 on both sides; ``same`` pads as TensorFlow does (for an even input and stride 2 the
    extra row and column go to the bottom right); ``valid`` pads nothing, which a layer may ask for and a recipe may not.
    `batch_norm_epsilon`: 1e-5 in PyTorch, 1e-3 in TensorFlow Slim.
    """

    padding: Padding | Literal["valid"] = "torch"
    batch_norm_epsilon: float = 1e-5


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME``: output size is ceil(input size / stride)."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, H, W); the padding follows from H and W, which are fixed at export.

        Padding that is equal on both sides is left to the convolution: converters do not fuse a separate pad.
        """
        (top, bottom), (left, right) = (
            _same_pads(size, dilation * (kernel - 1) + 1, stride)
            for size, kernel, stride, dilation in zip(
                input.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        symmetric = (top, left) == (bottom, right)
        if not symmetric:
            input = functional.pad(input, (left, right, top, bottom))
        pads = (top, left) if symmetric else (0, 0)
        return functional.conv2d(input, self.weight, self.bias, self.stride, pads, self.dilation, self.groups)


def conv2d(
    inputs: int,
    outputs: int,
    kernel: Kernel,
    stride: int,
    groups: int,
    padding: Padding | Literal["valid"],
    bias: bool = False,
    dilation: int = 1,
) -> nn.Conv2d:
    """Return a convolution, square or of (height, width), with the padding rule asked for."""
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    if padding == "same" and (height, width) != (1, 1):
        return Conv2dSame(inputs, outputs, (height, width), stride, groups=groups, bias=bias, dilation=dilation)
    pads = (0, 0) if padding == "valid" else (dilation * (height // 2), dilation * (width // 2))
    return nn.Conv2d(inputs, outputs, (height, width), stride, pads, dilation, groups, bias)


class MaxPool2dSame(nn.MaxPool2d):
    """A max pooling padded as TensorFlow's ``SAME``: output size is ceil(input size / stride), padding never wins."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)
        self.side, self.step = kernel, stride

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, H, W); the padding follows from H and W, which are fixed at export."""
        kernel, stride = self.side, self.step
        (top, bottom), (left, right) = (_same_pads(size, kernel, stride) for size in input.shape[2:])
        if (top, left) == (bottom, right):
            return functional.max_pool2d(input, kernel, stride, (top, left))
        padded = functional.pad(input, (left, right, top, bottom), value=float("-inf"))
        return functional.max_pool2d(padded, kernel, stride)


def _same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how much TensorFlow's ``SAME`` pads before and after a side of `size`."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def max_pool(kernel: int, stride: int, convention: Convention) -> nn.MaxPool2d:
    """Return a max pooling with the padding rule of `convention`."""
    if convention.padding == "same":
        return MaxPool2dSame(kernel, stride)
    return nn.MaxPool2d(kernel, stride, 0 if convention.padding == "valid" else kernel // 2)


class StandaloneReLU(nn.ReLU):
    """A ReLU that follows no convolution, so that no runtime fuses it; it knows its channels, as :class:`AveragePool` does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels


class AveragePool(nn.Module):
    """A square average pooling; TensorFlow's ``same`` leaves padding out of the mean, PyTorch counts its zeros.

    It knows its channels, so that a backend can write it as a depthwise convolution.
    """

    def __init__(self, channels: int, kernel: int, stride: int, convention: Convention) -> None:
        super().__init__()
        self.channels, self.kernel, self.stride = channels, kernel, stride
        self.counts_padding = convention.padding != "same"

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, H / stride, W / stride)."""
        if self.counts_padding:  # padded first, because XNNPACK leaves its own padding out of the mean
            return functional.avg_pool2d(functional.pad(input, (self.kernel // 2,) * 4), self.kernel, self.stride)
        (top, bottom), (left, right) = (_same_pads(size, self.kernel, self.stride) for size in input.shape[2:])
        if (top, left) == (bottom, right):
            pads = (top, left)
            return functional.avg_pool2d(input, self.kernel, self.stride, pads, count_include_pad=False)
        both = torch.cat([input, torch.ones_like(input)])
        means = functional.avg_pool2d(functional.pad(both, (left, right, top, bottom)), self.kernel, self.stride)
        return means[: len(input)] / means[len(input) :]


class ConvNormActivation(nn.Sequential):
    """Convolution (0), batch normalisation (1) and, unless `nonlinearity` is None, the nonlinearity (2)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Kernel,
        convention: Convention,
        nonlinearity: Nonlinearity | None,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
    ) -> None:
        layers: list[nn.Module] = [
            conv2d(inputs, outputs, kernel, stride, groups, convention.padding, dilation=dilation),
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

    In MobileNetV3 the squeezed width is make_divisible(channels / 4), the nonlinearity between the two ReLU, and the gate the
    h-sigmoid ReLU6(x + 3) / 6; other papers say otherwise.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int | None = None,
        nonlinearity: Nonlinearity = nn.ReLU,
        gate: Nonlinearity = nn.Hardsigmoid,
    ) -> None:
        super().__init__()
        squeezed = squeezed or make_divisible(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.relu = nonlinearity()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        mean = input.mean((2, 3), keepdim=True)
        scale: Tensor = self.gate(self.fc2(self.relu(self.fc1(mean))))
        return input * scale


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise), optionally squeeze-and-excite, project (1x1, linear).

    The input is added to the output where stride is 1 and the channel counts agree, unless `residual` is False. There is no
    expansion layer where `expanded` equals `inputs`. `squeeze_excite` is True for MobileNetV3's or another such module.
    Sources: MobileNetV2 section 3.3, MobileNetV3 section 5.
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
        squeeze_excite: bool | nn.Module = False,
        residual: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(ConvNormActivation(inputs, expanded, 1, convention, nonlinearity))
        layers.append(ConvNormActivation(expanded, expanded, kernel, convention, nonlinearity, stride, expanded))
        if squeeze_excite:
            layers.append(SqueezeExcite(expanded) if squeeze_excite is True else squeeze_excite)
        layers += ConvNormActivation(expanded, outputs, 1, convention, None)  # unpacked: torchvision's indices
        self.conv = nn.Sequential(*layers)
        self.residual = residual and stride == 1 and inputs == outputs

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


def inverted_residual_stage(
    inputs: int,
    outputs: int,
    expansion: int,
    kernel: int,
    layers: int,
    stride: int,
    convention: Convention,
    nonlinearity: Nonlinearity,
    squeeze_excite: Callable[[int, int], nn.Module] | None = None,
) -> nn.Sequential:
    """Return a stage of inverted residuals as MnasNet (arXiv:1807.11626) and EfficientNet (arXiv:1905.11946) stack them.

    Only the first layer has the `stride`. `squeeze_excite` is given each block's expanded and its input channels.
    """
    stage = nn.Sequential()
    for layer in range(layers):
        expanded = inputs * expansion
        gate = squeeze_excite(expanded, inputs) if squeeze_excite else False
        first = stride if layer == 0 else 1
        stage.append(InvertedResidual(inputs, expanded, outputs, kernel, first, convention, nonlinearity, gate))
        inputs = outputs
    return stage


def output_channels(module: nn.Module) -> int:
    """Return the channels of what a stack of convolutions returns."""
    return [layer.out_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)][-1]


class FusedInvertedResidual(nn.Module):
    """Expand and filter with one full convolution, in `groups` where asked, then project (1x1, linear).

    Where `expanded` equals `inputs` only the projection remains. Made for the Edge TPU (MobileNetEdgeTPU,
    EfficientNet-EdgeTPU), which runs full convolutions faster than depthwise ones. `residual` as in :class:`InvertedResidual`.
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
        groups: int = 1,
        residual: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(ConvNormActivation(inputs, expanded, kernel, convention, nonlinearity, stride, groups))
        layers += ConvNormActivation(expanded, outputs, 1, convention, None)
        self.conv = nn.Sequential(*layers)
        self.residual = residual and stride == 1 and inputs == outputs

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        output: Tensor = self.conv(input)
        return input + output if self.residual else output


class Branches(nn.ModuleList):
    """Modules side by side on one input; their outputs are concatenated along the channels (GoogLeNet, arXiv:1409.4842)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, sum of the branches' channels, H', W')."""
        return torch.cat([branch(input) for branch in self], 1)


class ShuffleChannels(nn.Module):
    """Deal the channels of `groups` groups out in turn: channel i of group j becomes channel i * groups + j (ShuffleNet)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        count, channels, height, width = input.shape
        grouped = input.reshape(count, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).reshape(count, channels, height, width)


class Classifier(nn.Module):
    """An image classifier: `features`, global average pooling, `classifier`."""

    output_names = OUTPUTS["classification"]

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) preprocessed images -> (N, classes) logits."""
        pooled = self.features(images).mean((2, 3), keepdim=True).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits


def initialise_without_norm(model: nn.Module) -> None:
    """Draw the weights of a model that has no batch normalisation so that activations keep their size (arXiv:1502.01852).

    With PyTorch's own initialisation they vanish, and int8 scales with them.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def settle_batch_norm(model: nn.Module, inputs: tuple[Tensor, ...], batch_size: int = 8) -> None:
    """Give a randomly initialised model the batch-norm statistics that examples of its inputs (N, ...) cause.

    Untrained statistics (mean 0, variance 1) make activations vanish and int8 scales useless. The statistics become the
    plain average over the batches; the model is left in eval mode.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    model.train()
    with torch.no_grad():
        # Batches of about the same size: one image alone has no variance where a map is a single place.
        batches = -(-len(inputs[0]) // batch_size)
        for batch in zip(*(tensor.tensor_split(batches) for tensor in inputs), strict=True):
            model(*batch)
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
