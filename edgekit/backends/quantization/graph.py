"""A model as a graph of tensor operations: its layers, and where their tensors are quantised."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

aten: Any = torch.ops.aten
CONVOLUTIONS = {aten.conv2d.default, aten.conv2d.padding, aten.convolution.default}
LAYERS = CONVOLUTIONS | {aten.linear.default}
RELU = {aten.relu.default, aten.relu_.default}
CLIPPED_RELU = {aten.hardtanh.default, aten.hardtanh_.default, aten.relu6.default, aten.clamp.default}
"""Those that runtimes fuse into the layer or the addition before them."""
PADS = {aten.constant_pad_nd.default: 2, aten.pad.default: 3}
"""Paddings, and the position of the value that they pad with."""
MOVES_VALUES = {
    aten.cat.default,
    aten.dropout.default,
    aten.flatten.using_ints,
    aten.permute.default,
    aten.reshape.default,
    aten.slice.Tensor,
    aten.transpose.int,
    aten.upsample_bilinear2d.vec,
    aten.view.default,
}
"""Operators whose output has the values of their inputs, and one scale with them."""
KEEPS_RANGE = MOVES_VALUES | PADS.keys() | {aten.max_pool2d.default}
"""Operators whose output is quantised as their input is."""


@dataclass(frozen=True)
class Layer:
    """A convolution or a fully connected layer of the graph, and the module whose weight it applies."""

    node: fx.Node
    name: str
    module: nn.Conv2d | nn.Linear

    @property
    def groups(self) -> int:
        """How many groups of channels are apart; 1 for a fully connected layer."""
        return self.module.groups if isinstance(self.module, nn.Conv2d) else 1

    @property
    def depthwise(self) -> bool:
        """Whether each input channel has exactly one output channel."""
        return isinstance(self.module, nn.Conv2d) and self.module.weight.shape[:2] == (self.groups, 1)


def export(model: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    """Return the graph of ATen operators that `model` runs for a batch of the shapes of `inputs`."""
    graph = torch.export.export(model, inputs).module()
    for node in list(graph.graph.nodes):
        if node.op == "call_module":  # guards of the input's shape, which stays
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def arguments(node: fx.Node) -> tuple[Any, ...]:
    """Return what an operator is called with; torch types it as everything that a graph can hold."""
    return node.args


def layers(model: nn.Module, graph: fx.GraphModule) -> Iterator[Layer]:
    """Yield the layers in the order of the graph. Shared weights and weights outside modules do not count."""
    for node in graph.graph.nodes:
        if node.target not in LAYERS:
            continue
        applied = arguments(node)[1]
        if applied.op != "get_attr" or len(applied.users) > 1:
            continue
        name, _, parameter = str(applied.target).rpartition(".")
        module = model.get_submodule(name)
        if parameter == "weight" and isinstance(module, nn.Conv2d | nn.Linear):
            yield Layer(node, name, module)


def layer_name(node: fx.Node) -> str:
    """Return the name of the module whose weight a node of LAYERS applies; empty if the graph computes the weight."""
    applied = arguments(node)[1]
    return str(applied.target).rpartition(".")[0] if applied.op == "get_attr" else ""


def quantised_nodes(graph: fx.GraphModule) -> set[fx.Node]:
    """Return the nodes whose outputs a runtime stores in int8: all that compute, but what is fused with its activation."""
    found = set()
    for node in graph.graph.nodes:
        computes = node.op == "call_function" and node.target not in KEEPS_RANGE
        if (node.op == "placeholder" or computes) and not _fused(node):
            found.add(node)
    return found


def _fused(node: fx.Node) -> bool:
    return node.target in LAYERS | {aten.add.Tensor} and activation_after(node) is not None


def activation_after(node: fx.Node) -> fx.Node | None:
    """Return the ReLU, clipped or not, that runtimes fuse into a node: the only one that reads it."""
    (user, *others) = node.users or (None,)
    return user if user is not None and not others and user.target in RELU | CLIPPED_RELU else None


def record(graph: fx.GraphModule, nodes: Collection[fx.Node], inputs: tuple[Tensor, ...]) -> dict[fx.Node, Tensor]:
    """Return the values of some nodes for `inputs`, a batch of the graph's exported size."""

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n in nodes:
                found[n] = value
            return value

    found: dict[fx.Node, Tensor] = {}
    with torch.no_grad():
        Recorder(graph).run(*inputs)
    return found


@dataclass(frozen=True)
class Folded:
    """A model without batch norm, and what batch norm knew: layer -> mean and deviation of each channel before its ReLU."""

    model: nn.Module
    reach: dict[str, tuple[Tensor, Tensor]]


def fold_batch_norm(model: nn.Module, inputs: tuple[Tensor, ...]) -> Folded:
    """Return a copy of `model` in which every batch norm that follows a convolution is part of it."""
    folded, reach = copy.deepcopy(model), {}
    for layer in list(layers(folded, export(folded, tuple(tensor[:2] for tensor in inputs)))):
        norm = _norm_after(layer, folded)
        if norm is None or not isinstance(layer.module, nn.Conv2d):
            continue
        name, module = norm
        assert module.running_mean is not None and module.running_var is not None
        fused = fuse_conv_bn_weights(
            layer.module.weight,
            layer.module.bias,
            module.running_mean,
            module.running_var,
            module.eps,
            module.weight,
            module.bias,
        )
        layer.module.weight, layer.module.bias = fused
        reach[layer.name] = (module.bias.detach(), module.weight.detach().abs())
        parent, _, child = name.rpartition(".")
        setattr(folded.get_submodule(parent), child, nn.Identity())
    return Folded(folded, reach)


def _norm_after(layer: Layer, model: nn.Module) -> tuple[str, nn.BatchNorm2d] | None:
    if len(layer.node.users) != 1:
        return None
    (user,) = layer.node.users
    if user.target is not aten.batch_norm.default or arguments(user)[1].op != "get_attr":
        return None
    name = str(arguments(user)[1].target).rpartition(".")[0]
    module = model.get_submodule(name)
    return (name, module) if isinstance(module, nn.BatchNorm2d) else None
