"""Parameters and multiply-adds, counted by running a model on tensors without data.

The counting rule is that of the papers: trainable parameters (batch-norm running statistics excluded); multiply-adds of
convolutions (squeeze-and-excitation's included) and linear layers only. Batch norm, activations, pooling and the scaling of
squeeze-and-excitation count nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from edgekit.architectures.registry import Size, build, sides
from edgekit.architectures.shapes import shapes_only

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCost:
    """One layer of a model: its operator, shapes without the batch dimension, and what it costs."""

    name: str
    operator: str
    input: Shape
    output: Shape
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Cost:
    """A model's layers in the order in which they run."""

    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    def by_operator(self) -> dict[str, tuple[int, int]]:
        """Operator -> (parameters, multiply-adds), largest multiply-adds first (MobileNetV1 paper, Table 2)."""
        totals: dict[str, tuple[int, int]] = {}
        for layer in self.layers:
            parameters, multiply_adds = totals.get(layer.operator, (0, 0))
            totals[layer.operator] = (parameters + layer.parameters, multiply_adds + layer.multiply_adds)
        return dict(sorted(totals.items(), key=lambda item: -item[1][1]))


def count(model: nn.Module, *shapes: Shape) -> Cost:
    """Count `model` for one example of inputs of these shapes (without batch); the model may be on the meta device."""
    import torch

    layers: list[LayerCost] = []

    def visit(name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            layers.append(_layer(name, module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

        handles.append(module.register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            visit(name, module)
    device = next((parameter.device for parameter in model.parameters()), None)
    try:
        with torch.no_grad():
            model(*(torch.zeros(1, *shape, device=device) for shape in shapes))
    finally:
        for handle in handles:
            handle.remove()
    return Cost(tuple(layers))


def count_foreign(model: nn.Module, *shapes: Shape) -> Cost:
    """As :func:`count`, of code that is not edgekit's: what no layer stands for, as in an exported program, counts too.

    Such parameters, and multiply-adds of functions, are one entry of their own.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counted, counter = count(model, *shapes), FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(*(torch.zeros(1, *shape) for shape in shapes))
    parameters = sum(parameter.numel() for parameter in model.parameters()) - counted.parameters
    multiply_adds = counter.get_total_flops() // 2 - counted.multiply_adds
    if parameters <= 0 and multiply_adds <= 0:
        return counted
    functions = LayerCost("(functions)", "function", (), (), max(0, parameters), max(0, multiply_adds))
    return Cost((*counted.layers, functions))


def cost(architecture: str, size: Size, **arguments: object) -> Cost:
    """Count an architecture at (height, width), allocating nothing; `arguments` are those of `build`."""
    with shapes_only():
        return count(build(architecture, **arguments), (3, *sides(size)))


def _layer(name: str, module: nn.Module, input: Shape, output: Shape) -> LayerCost:
    from torch import nn

    parameters = sum(parameter.numel() for parameter in module.parameters())
    if isinstance(module, nn.Conv2d):
        kernel = f"{module.kernel_size[0]}x{module.kernel_size[1]}"
        depthwise = module.groups > 1 and module.groups == module.in_channels
        operator = f"depthwise {kernel}" if depthwise else f"conv {kernel}"
        multiply_adds = module.weight.numel() * prod(output[1:])
    elif isinstance(module, nn.Linear):
        operator, multiply_adds = "linear", module.weight.numel() * prod(output[:-1])
    else:
        operator, multiply_adds = "batch norm" if isinstance(module, nn.BatchNorm2d) else "scale", 0
    return LayerCost(name, operator, input, output, parameters, multiply_adds)
