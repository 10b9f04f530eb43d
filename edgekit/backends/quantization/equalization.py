"""Equalise the ranges of a tensor's channels, so that one scale per tensor wastes fewer steps.

A channel that leaves its layer divided by k and enters the next ones times k changes nothing in float (cross-layer
equalisation, Nagel et al. 2019, arXiv:1906.04721, section 4.1). Residual additions tie tensors together: their channels
are scaled alike. Two rules limit k:

- Behind a clipped ReLU a channel may only grow, and must never reach the clip. A few photos do not show this limit,
  but batch norm's statistics do. It is free only for depthwise readers, so only their inputs are scaled.
- Elsewhere k balances the range of the channel with that of the weights that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekit.backends.quantization.graph import CLIPPED_RELU, PADS, RELU, Folded, Layer, arguments, aten, export, layers

LINEAR = {
    aten.dropout.default,
    aten.mean.dim,
    aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.max_pool2d.default,
}
"""Operators that scale a channel's output as its input."""
HEADROOM = 1.25
"""A channel may reach so many times as far as calibration saw."""
DEVIATIONS = 8.0
"""A channel may reach so many standard deviations of its batch norm beyond the mean."""
LARGEST_FACTOR = 4.0
"""No channel is scaled by more: a channel that calibration hardly saw must not fill the tensor."""


@dataclass(eq=False)
class Channels:
    """Channels that must be scaled alike: which layers make them, which read them, and how far they reach.

    `fixed`: something else reads or makes them, so that they cannot be scaled. `clip` is the upper limit of their ReLU.
    """

    makers: list[Layer] = field(default_factory=list)
    readers: list[Layer] = field(default_factory=list)
    nodes: list[fx.Node] = field(default_factory=list)
    fixed: bool = False
    clip: float | None = None
    reach: Tensor | None = None

    @property
    def scalable(self) -> bool:
        """Whether layers alone make and read the channels, behind a clipped ReLU depthwise ones."""
        depthwise = all(layer.depthwise for layer in self.readers)
        return bool(self.makers and self.readers and not self.fixed and (self.clip is None or depthwise))


def equalise(folded: Folded, inputs: tuple[Tensor, ...]) -> None:
    """Scale the channels between the layers of a model in place; a batch of `inputs` shows how far they reach."""
    graph = export(folded.model, inputs)
    groups = channel_groups(folded.model, graph)
    _Reach(graph, groups).run(*inputs)
    for group in dict.fromkeys(groups.values()):
        if group.scalable and group.reach is not None:
            _divide(group, factors(group, folded.reach))


def channel_groups(model: nn.Module, graph: fx.GraphModule) -> dict[fx.Node, Channels]:
    """Return the channels of every node whose second axis can be followed to the layer that made it."""
    found: dict[fx.Node, Channels] = {}
    by_node = {layer.node: layer for layer in layers(model, graph)}
    for node in graph.graph.nodes:
        inputs = [found[source] for source in node.all_input_nodes if source in found]
        if node in by_node:
            for group in inputs:
                group.readers.append(by_node[node])
                group.fixed |= by_node[node].groups > 1 and not by_node[node].depthwise
            found[node] = Channels(makers=[by_node[node]], nodes=[node])
        elif inputs and _keeps_channels(node):
            _extend(inputs[0], node)
            found[node] = inputs[0]
        elif len(inputs) == 2 and node.target is aten.add.Tensor and _same_shapes(node):
            _join(inputs[0], inputs[1], found)
            inputs[0].nodes.append(node)
            found[node] = inputs[0]
        else:
            for group in inputs:
                group.fixed = True
    return found


def _keeps_channels(node: fx.Node) -> bool:
    return node.target in RELU | CLIPPED_RELU | LINEAR or _pads_with_zeros(node) or _flattens_one_pixel(node)


def _extend(group: Channels, node: fx.Node) -> None:
    group.nodes.append(node)
    if node.target in CLIPPED_RELU:
        low, high = _bounds(node)
        group.fixed |= low != 0.0
        group.clip = high if group.clip is None else min(high, group.clip)


def _join(group: Channels, other: Channels, found: dict[fx.Node, Channels]) -> None:
    if group is other:
        return
    group.makers += other.makers
    group.readers += other.readers
    group.fixed |= other.fixed
    group.clip = min((clip for clip in (group.clip, other.clip) if clip is not None), default=None)
    for node in other.nodes:
        found[node] = group
    group.nodes += other.nodes


def _bounds(node: fx.Node) -> tuple[float | None, float]:
    """Return the range of values that a clipped ReLU does not change."""
    if node.target is aten.relu6.default:
        return 0.0, 6.0
    given = arguments(node)[1:3]
    defaults = (None, None) if node.target is aten.clamp.default else (-1.0, 1.0)  # those of hardtanh
    low, high = given + defaults[len(given) :]
    return low, float("inf") if high is None else high


def _pads_with_zeros(node: fx.Node) -> bool:
    if node.target not in PADS:
        return False
    value = arguments(node)[PADS[node.target] :]
    return not value or not value[0]


def _flattens_one_pixel(node: fx.Node) -> bool:
    """Say whether (N, C, 1, 1) becomes (N, C)."""
    if node.target not in {aten.flatten.using_ints, aten.view.default, aten.reshape.default}:
        return False
    before, after = (tuple(end.meta["val"].shape) for end in (node.all_input_nodes[0], node))
    return before == (*after, 1, 1)


def _same_shapes(node: fx.Node) -> bool:
    return all(source.meta["val"].shape == node.meta["val"].shape for source in node.all_input_nodes)


class _Reach(fx.Interpreter):
    """Finds how far each channel reaches from zero, behind its activation."""

    def __init__(self, graph: fx.GraphModule, groups: Mapping[fx.Node, Channels]) -> None:
        super().__init__(graph)
        self._groups = groups

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        group = self._groups.get(n)
        if group and not any(user.target in CLIPPED_RELU | RELU for user in n.users):
            reach = value.abs().amax([axis for axis in range(value.dim()) if axis != 1])
            group.reach = reach if group.reach is None else torch.maximum(group.reach, reach)
        return value


def factors(group: Channels, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
    """Return the divisor of each channel at its source; `statistics` are the batch norms' mean and deviation."""
    assert group.reach is not None
    if group.clip is not None:
        if group.clip == float("inf") or any(layer.name not in statistics for layer in group.makers):
            return torch.ones_like(group.reach)
        reach = group.reach * HEADROOM
        for mean, deviation in (statistics[layer.name] for layer in group.makers):
            reach = torch.maximum(reach, mean + DEVIATIONS * deviation)
        return (reach / group.clip).clamp(1 / LARGEST_FACTOR, 1.0)
    reach = group.reach.clamp(min=1e-6)
    dense = [layer.module.weight for layer in group.readers if not layer.depthwise]
    if not dense:
        balanced = reach
    else:
        share = torch.stack([_share(weight) for weight in dense]).amax(0)
        balanced = (reach / reach.max() / share).sqrt()
    return (balanced / balanced.log().mean().exp()).clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)


def _share(weight: Tensor) -> Tensor:
    """Return how much of the range of the rows' weights each input channel needs: (inputs,), at most 1."""
    columns = weight.abs().flatten(2).amax(2) if weight.dim() == 4 else weight.abs()
    return (columns / columns.amax(1, keepdim=True).clamp(min=1e-12)).amax(0).clamp(min=1e-4)


def _divide(group: Channels, by: Tensor) -> None:
    for layer in group.makers:
        module = layer.module
        module.weight = nn.Parameter(module.weight / by.reshape(-1, *(1,) * (module.weight.dim() - 1)), False)
        if module.bias is not None:
            module.bias = nn.Parameter(module.bias / by, False)
    for layer in group.readers:
        weight = layer.module.weight
        shape = (-1, 1, 1, 1) if layer.depthwise else (1, -1, *(1,) * (weight.dim() - 2))
        layer.module.weight = nn.Parameter(weight * by.reshape(shape), False)
