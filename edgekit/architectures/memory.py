"""Peak activation memory: the tensors that must be kept together when layers run in sequence."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from edgekit.architectures.cost import Shape
from edgekit.architectures.registry import Size, build, sides
from edgekit.architectures.shapes import shapes_only

if TYPE_CHECKING:
    from torch import Tensor, nn

BYTES_PER_VALUE = 4  # float32


class Peak(BaseModel):
    """The largest sum of activations that are alive together: bytes, and shapes without the batch dimension."""

    bytes: int
    shapes: list[Shape]


@dataclass(frozen=True)
class Step:
    """One operator as it ran: the storages that it read, and those that it wrote, with shapes without the batch dimension."""

    reads: tuple[int, ...]
    writes: dict[int, Shape]
    elementwise: bool


def peak_activations(architecture: str, size: Size, **arguments: object) -> Peak:
    """Return the peak of an architecture at (height, width), allocating nothing; `arguments` are those of `build`."""
    import torch

    with shapes_only():
        return peak_of(build(architecture, **arguments), torch.zeros(1, 3, *sides(size)))


def peak_of(model: nn.Module, *inputs: Tensor) -> Peak:
    """Return the peak of `model` for one example of its inputs (1, ...); both may be on the meta device.

    The operators run one at a time in the order of the modules. While one runs, its inputs, its output, and every
    earlier tensor that a later operator reads are alive. So a residual block's input lives until the addition.
    As in runtimes, an elementwise operator overwrites an input of the same size that no later operator reads.
    Such operators are activations, folded batch norm, addition and scaling.
    A view costs nothing, and padding is part of the convolution.
    Weights and scratch memory of convolutions do not count. The sum is that of the MobileNetV2 paper, section 5.1, for
    operators instead of blocks.
    """
    steps = _record(model, inputs)
    last_read = {storage: index for index, step in enumerate(steps) for storage in step.reads}
    alive = {_storage(tensor): tuple(tensor.shape[1:]) for tensor in inputs}
    peak = Peak(bytes=0, shapes=[])
    for index, step in enumerate(steps):
        for storage, shape in step.writes.items():
            spent = [read for read in step.reads if last_read[read] == index and alive.get(read) == shape]
            if step.elementwise and spent:
                del alive[spent[0]]
            alive.setdefault(storage, shape)
        total = BYTES_PER_VALUE * sum(map(prod, alive.values()))
        if total > peak.bytes:
            peak = Peak(bytes=total, shapes=list(alive.values()))
        alive = {storage: shape for storage, shape in alive.items() if last_read.get(storage, -1) > index}
    return peak


def _record(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Step]:
    """Run `model` and return its operators in order; a padded tensor goes by the storage of the tensor that it pads."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    weights = {_storage(tensor) for tensor in model.state_dict().values()}
    steps: list[Step] = []
    padded: dict[int, int] = {}
    kept: list[Any] = []  # a storage that is freed may give its address to the next one

    def activations(values: Any) -> dict[int, Tensor]:
        tensors = [value for value in torch.utils._pytree.tree_leaves(values) if isinstance(value, torch.Tensor)]
        found = {padded.get(_storage(tensor), _storage(tensor)): tensor for tensor in tensors if tensor.numel()}
        return {storage: tensor for storage, tensor in found.items() if storage not in weights}

    class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # skipping would import the compiler

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = function(*args, **(kwargs or {}))
            kept.append(output)
            name, reads = function.name(), tuple(activations((args, kwargs)))
            if name == "aten::constant_pad_nd" and reads:
                padded[_storage(output)] = reads[0]
            else:
                writes = {storage: tuple(tensor.shape[1:]) for storage, tensor in activations(output).items()}
                # PyTorch does not tag these two as pointwise.
                elementwise = torch.Tag.pointwise in function.tags or "batch_norm" in name or name == "aten::hardswish"
                steps.append(Step(reads, writes, elementwise))
            return output

    with torch.no_grad(), Recorder():  # type: ignore[no-untyped-call]
        model(*inputs)
    return steps


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
