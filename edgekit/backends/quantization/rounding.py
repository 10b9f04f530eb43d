"""Weights on the int8 grid, rounded so that the outputs of their layer change least, and biases that keep its mean.

Rounding to the nearest is not the best. The errors of weights with similar inputs add up, most of all in depthwise
convolutions, whose nine inputs are neighbouring pixels. So weights that are not yet rounded compensate the errors of
those that are (GPTQ, Frantar et al. 2022, arXiv:2210.17323, without its blocks). The remaining error of the mean
goes into the bias (bias correction, Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgekit.backends.quantization.float_layers import float_layers
from edgekit.backends.quantization.graph import Layer, arguments, export, layers, quantised_nodes

LEVELS = 127
"""Weights are -127 to 127 times their output channel's scale, in both runtimes."""
ROWS = 16_384
"""The number of places in all photos that show how a layer's inputs vary."""
LARGEST = 4_608
"""Inputs of an output channel, 512 channels of 3x3, beyond which weights are rounded to the nearest."""
SMALLEST_SHARE = 1e-4
"""A channel's largest weight is at least this share of its bias: its steps then fit into 31 bits at any usual input scale."""
DAMPING = 0.01
"""Share of the mean variance that is added to every input's, so that few photos do not overfit (GPTQ's percdamp)."""


@dataclass(frozen=True)
class Pair:
    """A tensor as PyTorch computes it, and as the int8 graph does."""

    exact: Any
    quantised: Any


def round_weights(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Round the weights of the layers of `model` in place, and correct their biases; `inputs` are a batch.

    Layers that stay in float keep their weights and biases.
    """
    _Rounding(model, export(model, inputs)).run(*inputs)


class _Rounding(fx.Interpreter):
    """Runs the exact and the quantised network side by side, and rounds a layer when it comes to it."""

    def __init__(self, model: nn.Module, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        kept = float_layers(model)
        self._layers = {layer.node: layer for layer in layers(model, graph) if layer.name not in kept}
        self._quantised = quantised_nodes(graph)

    def run_node(self, n: fx.Node) -> Any:
        """Return a node's Pair, or what both networks share."""
        if n.op == "placeholder":
            image = super().run_node(n)
            return Pair(image, fake_quantise(image, image))
        if n in self._layers:
            found = self._round(self._layers[n], n)
        else:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            if n.op != "call_function" or not any(
                isinstance(leaf, Pair) for leaf in pytree.tree_leaves((args, kwargs))
            ):
                return super().run_node(n)
            exact, quantised = (_side(side, args, kwargs) for side in ("exact", "quantised"))
            found = Pair(n.target(*exact[0], **exact[1]), n.target(*quantised[0], **quantised[1]))  # type: ignore[operator]
        if n in self._quantised and isinstance(found.exact, Tensor):
            return Pair(found.exact, fake_quantise(found.quantised, found.exact))
        return found

    def _round(self, layer: Layer, node: fx.Node) -> Pair:
        (input, _, *rest), kwargs = self.fetch_args_kwargs_from_env(node)
        module, apply = layer.module, node.target
        exact = apply(input.exact, module.weight, *rest, **kwargs)  # type: ignore[operator]
        rounded = round_layer(layer, patches(layer, input.quantised))
        quantised = apply(input.quantised, rounded, *rest, **kwargs)  # type: ignore[operator]
        axis, shift = channel_axis(layer, exact), mean_shift(layer, exact, quantised)
        module.weight = nn.Parameter(rounded, False)
        module.bias = nn.Parameter(shift if module.bias is None else module.bias + shift, False)
        return Pair(exact, quantised + shift.reshape([-1 if dim == axis else 1 for dim in range(exact.dim())]))


def channel_axis(layer: Layer, output: Tensor) -> int:
    """Return the axis of the channels in a layer's output."""
    return output.dim() - 1 if isinstance(layer.module, nn.Linear) else 1


def mean_shift(layer: Layer, exact: Tensor, quantised: Tensor) -> Tensor:
    """Return what a layer's bias lacks so that each output channel keeps its mean: (channels,)."""
    axis = channel_axis(layer, exact)
    return (exact - quantised).mean([dim for dim in range(exact.dim()) if dim != axis])


def _side(side: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    def of(value: Any) -> Any:
        return getattr(value, side) if isinstance(value, Pair) else value

    return pytree.tree_map(of, args), pytree.tree_map(of, kwargs)


def fake_quantise(values: Tensor, like: Tensor) -> Tensor:
    """Round `values` to 256 steps between the smallest and the largest of `like`, and zero."""
    low, high = min(float(like.min()), 0.0), max(float(like.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    zero = round(-low / scale)
    return ((values / scale).round() + zero).clamp(0, 255).sub(zero).mul(scale)


def patches(layer: Layer, input: Tensor) -> Tensor:
    """Return what the weights of each group see at some places: (groups, places, inputs of an output channel)."""
    module = layer.module
    if isinstance(module, nn.Linear):
        return input.reshape(1, -1, input.shape[-1])[:, :ROWS]
    # The module may pad by itself, as TensorFlow does: what counts is what the operator is given.
    given = arguments(layer.node)[3:6]
    stride, padding, dilation = given + ((1, 1), (0, 0), (1, 1))[len(given) :]
    found = functional.unfold(input, module.kernel_size, dilation, padding, stride)
    step = max(1, found.shape[-1] * len(input) // ROWS)
    chosen = found[:, :, step // 2 :: step]  # (images, channels * kernel, places)
    grouped = chosen.reshape(len(input), layer.groups, -1, chosen.shape[-1])
    return grouped.permute(1, 0, 3, 2).flatten(1, 2)


def round_layer(layer: Layer, inputs: Tensor) -> Tensor:
    """Return the layer's weight on its int8 grid; `inputs` are its :func:`patches`."""
    weight = _with_representable_bias(layer.module)
    scale = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / LEVELS
    if inputs.shape[-1] > LARGEST:
        return (weight / _rows(scale, weight)).round().mul(_rows(scale, weight))
    grouped = weight.reshape(layer.groups, -1, inputs.shape[-1])
    centred = (inputs - inputs.mean(1, keepdim=True)).double()
    covariance = centred.transpose(1, 2) @ centred / inputs.shape[1]
    rounded = _gptq(grouped.double(), scale.reshape(layer.groups, -1).double(), covariance)
    return rounded.reshape(weight.shape).float()


def _with_representable_bias(module: nn.Conv2d | nn.Linear) -> Tensor:
    """Return the weight with scales that let 32 bits hold the bias.

    A bias is stored in steps of the input's scale times the weight's. Training leaves channels whose weights are next to
    nothing; their steps are so fine that the bias overflows and the channel has any value. Their first weight becomes large
    enough, which is next to nothing beside the bias.
    """
    weight = module.weight.clone()
    if module.bias is not None:
        least = SMALLEST_SHARE * module.bias.abs()
        rows = weight.flatten(1).abs().amax(1) < least
        weight.flatten(1)[rows] = 0.0
        weight.flatten(1)[rows, 0] = least[rows]
    return weight


def _rows(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.reshape(-1, *(1,) * (weight.dim() - 1))


def _gptq(weight: Tensor, scale: Tensor, covariance: Tensor) -> Tensor:
    """Round (groups, outputs, inputs) to multiples of `scale` (groups, outputs), column by column, most varying first."""
    groups, _, inputs = weight.shape
    spread = covariance.diagonal(dim1=1, dim2=2)
    order = spread.argsort(1, descending=True)
    damping = DAMPING * spread.mean(1) + 1e-12
    rows = torch.arange(groups)[:, None]
    permuted = covariance[rows[:, :, None], order[:, :, None], order[:, None, :]]
    permuted = permuted + damping[:, None, None] * torch.eye(inputs, dtype=weight.dtype)
    # The upper Cholesky factor of the inverse: row i says how later inputs compensate an error of input i.
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(permuted))
    upper = torch.linalg.cholesky(inverse, upper=True)
    original = weight.gather(2, order[:, None, :].expand_as(weight))
    # The largest weight of an output channel stays: runtimes take the scale from it.
    largest = original.abs().argmax(2, keepdim=True)
    work, rounded = original.clone(), torch.empty_like(original)
    for column in range(inputs):
        wanted = work[:, :, column]
        kept = torch.where(largest[:, :, 0] == column, original[:, :, column], wanted)
        on_grid = (kept / scale).round().clamp(-LEVELS, LEVELS) * scale
        rounded[:, :, column] = on_grid
        error = (wanted - on_grid) / upper[:, None, column, column]
        work[:, :, column + 1 :] -= error[:, :, None] * upper[:, None, column, column + 1 :]
    return torch.empty_like(rounded).scatter(2, order[:, None, :].expand_as(rounded), rounded)
