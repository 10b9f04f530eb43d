"""Equivalent forms of a model that a converter or a delegate handles better."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.architectures.blocks import AveragePool, MaxPool2dSame, StandaloneReLU
from edgekit.architectures.ssd_vgg import L2Norm


class DecomposedHardswish(nn.Module):
    """h-swish as relu6(x + 3) * (x * 1/6).

    In this order the TFLite converter does not fuse it back into HARD_SWISH, which XNNPACK lacks in int8.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> same shape."""
        return functional.relu6(input + 3.0) * (input * (1.0 / 6.0))


class DecomposedHardsigmoid(nn.Module):
    """h-sigmoid as relu6(x + 3) * 1/6 with float constants; PyTorch's own decomposition has integer ones, cast at run time."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> same shape."""
        return functional.relu6(input + 3.0) * (1.0 / 6.0)


class BorderedMaxPool2d(nn.Module):
    """A max pooling whose padding is written out as copies of the border.

    The TFLite converter pads with minus infinity (PADV2), which the delegate does not take. A window that reaches into the
    padding also covers the border, so a copy of the border changes no maximum.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> what the pooling gives, with the same shape."""
        padded = input
        for axis, outputs in ((2, self._outputs(input, 2)), (3, self._outputs(input, 3))):
            padded = self._bordered(padded, axis, outputs)
        return functional.max_pool2d(padded, self.pool.kernel_size, self.pool.stride)

    def _outputs(self, input: Tensor, axis: int) -> int:
        kernel, stride, padding = (
            _side(of, axis) for of in (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        )
        size = input.shape[axis]
        if isinstance(self.pool, MaxPool2dSame):
            return -(-size // stride)
        beyond = size + 2 * padding - kernel
        if not self.pool.ceil_mode:
            return beyond // stride + 1
        outputs = -(-beyond // stride) + 1
        return outputs - 1 if (outputs - 1) * stride >= size + padding else outputs

    def _bordered(self, input: Tensor, axis: int, outputs: int) -> Tensor:
        kernel, stride, before = (
            _side(of, axis) for of in (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        )
        size = input.shape[axis]
        total = (outputs - 1) * stride + kernel - size
        if isinstance(self.pool, MaxPool2dSame):
            before = max(total, 0) // 2
        first, last = input.narrow(axis, 0, 1), input.narrow(axis, size - 1, 1)
        copies = [first] * before + [input] + [last] * max(total - before, 0)
        return torch.cat(copies, axis) if len(copies) > 1 else input


class DepthwiseAverage(nn.Module):
    """An average pooling that counts its padding, as a depthwise convolution: XNNPACK has no average pooling in int8."""

    def __init__(self, pool: AveragePool) -> None:
        super().__init__()
        self.stride, self.padding, self.channels = pool.stride, pool.kernel // 2, pool.channels
        self.register_buffer("weight", torch.full((pool.channels, 1, pool.kernel, pool.kernel), pool.kernel**-2.0))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / stride, W / stride)."""
        weight = self.get_buffer("weight")
        return functional.conv2d(input, weight, None, self.stride, self.padding, groups=self.channels)


class DepthwiseReLU(nn.Module):
    """A ReLU after a depthwise 1x1 convolution with ones, into which it is fused: in int8 XNNPACK has no ReLU by itself."""

    def __init__(self, relu: StandaloneReLU) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(relu.channels, 1, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        weight = self.get_buffer("weight")
        return functional.relu(functional.conv2d(input, weight, groups=len(weight)))


class ConvolvedL2Norm(nn.Module):
    """An L2 norm over the channels. Its sum is a 1x1 convolution with ones: XNNPACK cannot sum over channels.

    ExecuTorch's form leaves the delegate for the sum. In int8 the runtime then refuses the returned layout.
    """

    def __init__(self, norm: L2Norm) -> None:
        super().__init__()
        self.weight = norm.weight
        self.register_buffer("ones", torch.ones(1, len(norm.weight), 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        length = functional.conv2d(input * input, self.get_buffer("ones")).sqrt().clamp_min(L2Norm.SHORTEST)
        return input / length * self.weight.view(1, -1, 1, 1)


def _side(value: int | tuple[int, ...], axis: int) -> int:
    return value if isinstance(value, int) else value[axis - 2]


def decompose(
    model: nn.Module,
    *,
    hard_swish: bool = False,
    hard_sigmoid: bool = False,
    max_pool: bool = False,
    average_pool: bool = False,
    standalone_relu: bool = False,
    l2_norm: bool = False,
) -> nn.Module:
    """Return a copy of `model` with modules of the kinds named in their equivalent form.

    Average poolings that leave padding out of the mean stay.
    """
    replacements: dict[type[nn.Module], Callable[[Any], nn.Module]] = {}
    if hard_swish:
        replacements[nn.Hardswish] = lambda _: DecomposedHardswish()
    if hard_sigmoid:
        replacements[nn.Hardsigmoid] = lambda _: DecomposedHardsigmoid()
    if max_pool:
        replacements |= {nn.MaxPool2d: BorderedMaxPool2d, MaxPool2dSame: BorderedMaxPool2d}
    if standalone_relu:
        replacements[StandaloneReLU] = DepthwiseReLU
    if l2_norm:
        replacements[L2Norm] = ConvolvedL2Norm
    if average_pool:
        replacements[AveragePool] = lambda pool: DepthwiseAverage(pool) if pool.counts_padding else pool
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) in replacements:
                setattr(parent, name, replacements[type(child)](child))
    return model.eval()
