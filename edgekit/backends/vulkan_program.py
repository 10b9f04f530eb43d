"""Reads an ExecuTorch program for Vulkan from its ``.pte`` file, and computes in torch what it describes.

No runtime with Vulkan is on this machine, and no GPU. So parity is derived. What is executed is what the file holds: the
operators after all passes of ExecuTorch's Vulkan backend, their arguments, and the constants, in the file's own order.
Each result must have the shape that the file states.

This shows that the exported network, the passes and the stored weights are right. It shows nothing of Vulkan's shaders, of
their precision, of memory layouts and the memory plan, and of a GPU's limits. The device's outputs show those.

The format is that of ``backends/vulkan/serialization/schema.fbs`` of ExecuTorch, and ExecuTorch's own code reads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Defines the operators of the namespace `et_vk`.
from executorch.backends.vulkan import custom_ops_lib  # noqa: F401
from executorch.backends.vulkan.serialization.vulkan_graph_schema import (
    Null,
    ValueList,
    VkDataType,
    VkGraph,
    VkTensor,
)
from executorch.backends.vulkan.serialization.vulkan_graph_serialize import (
    extract_vk_flatbuffer,
    flatbuffer_to_vk_graph,
)
from executorch.exir._serialize._program import PTEFile, deserialize_pte_binary
from executorch.exir.schema import DelegateCall, ExecutionPlan, KernelCall

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Outputs
from edgekit.backends.executorch import VULKAN_DELEGATE
from edgekit.errors import EdgekitError, FailureKind

DTYPES = {
    VkDataType.BOOL: torch.bool,
    VkDataType.INT32: torch.int32,
    VkDataType.INT64: torch.int64,
    VkDataType.FLOAT32: torch.float32,
}
"""Types of a float32 network. Float16 is missing, since its rows would say fp32."""

MAX_FLOAT = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Graph:
    """One delegate: its graph, and the constants of the file by their names."""

    described: VkGraph
    constants: dict[str, bytes]

    def run(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the outputs for these inputs. EdgekitError (``unsupported_operator``) for what torch cannot compute."""
        found: dict[int, Any] = dict(zip(self.described.input_ids, inputs, strict=True))
        for call in self.described.chain:
            *arguments, output = call.args
            results = _operator(call.name)(*[self._value(index, found) for index in arguments])
            self._keep(call.name, output, results, found)
        return [self._value(index, found) for index in self.described.output_ids]

    def _value(self, index: int, found: dict[int, Any]) -> Any:
        """Return a value that was computed, or that the file holds."""
        if index in found:
            return found[index]
        value = self.described.values[index].value
        if isinstance(value, VkTensor):
            found[index] = self._constant(value)
            return found[index]
        if isinstance(value, ValueList):
            return [self._value(item, found) for item in value.items]
        if isinstance(value, Null):
            return None
        (only,) = vars(value).values()  # a number, a text or a list of numbers
        # A ReLU's upper limit is the largest double. As a float32, which the shader gets, it is infinite.
        return math.copysign(math.inf, only) if isinstance(only, float) and abs(only) > MAX_FLOAT else only

    def _constant(self, tensor: VkTensor) -> torch.Tensor:
        if tensor.constant_id < 0:
            raise _wrong("it reads a value that nothing has computed")
        name = self.described.constants[tensor.constant_id].named_key
        if name not in self.constants:
            raise _wrong(f"its constant {name or tensor.constant_id} is missing")
        # Copied, since bytes are read-only.
        values = torch.frombuffer(bytearray(self.constants[name]), dtype=_dtype(tensor))
        return values.reshape(tensor.dims)

    def _keep(self, name: str, output: int, results: Any, found: dict[int, Any]) -> None:
        """Note what an operator computed, if it is what the file states."""
        value = self.described.values[output].value
        if isinstance(value, ValueList):
            for item, result in zip(value.items, results, strict=True):
                self._keep(name, item, result, found)
            return
        if not isinstance(value, VkTensor) or list(results.shape) != list(value.dims):
            raise _wrong(f"{name} computes the shape {list(results.shape)}, and the file states {value}")
        if results.dtype != _dtype(value):
            raise _wrong(f"{name} computes {results.dtype}, and the file states {value.datatype.name}")
        found[output] = results


class Program:
    """A program of which Vulkan computes everything.

    EdgekitError if it is another one:

    - ``unsupported_operator`` if operators are outside its delegates, or a delegate is not Vulkan's;
    - ``crashed`` if the file cannot be read.
    """

    def __init__(self, content: bytes) -> None:
        try:
            file = deserialize_pte_binary(content)
            (self.plan,) = file.program.execution_plan
            self.calls = _calls(self.plan)
            constants = _constants(file)
            self.graphs = [_graph(file, delegate.processed.index, constants) for delegate in self.plan.delegates]
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise _wrong(f"its file cannot be read ({type(error).__name__}: {error})") from error

    def run(self, example: Inputs) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        """Return the outputs for one example, in the program's order."""
        values: dict[int, torch.Tensor] = dict(zip(self.plan.inputs, example.tensors(), strict=True))
        for call in self.calls:
            graph = self.graphs[call.delegate_index]
            count = len(graph.described.input_ids)
            results = graph.run([values[index] for index in call.args[:count]])
            values |= dict(zip(call.args[count:], results, strict=True))
        return [values[index].numpy().astype(np.float32) for index in self.plan.outputs]


def execute(artifact: Path, inputs: Inputs) -> Outputs:
    """Compute the program of a file in torch, example by example: derived, not measured."""
    program = Program(artifact.read_bytes())
    with torch.no_grad():
        runs = [program.run(example) for example in inputs]
    return tuple(np.concatenate(outputs) for outputs in zip(*runs, strict=True))


def _calls(plan: ExecutionPlan) -> list[DelegateCall]:
    """Return the calls of delegates, of which the program must consist. EdgekitError otherwise."""
    calls = [instruction.instr_args for chain in plan.chains for instruction in chain.instructions]
    outside = [plan.operators[call.op_index].name for call in calls if isinstance(call, KernelCall)]
    foreign = [delegate.id for delegate in plan.delegates if delegate.id != VULKAN_DELEGATE]
    delegated = [call for call in calls if isinstance(call, DelegateCall)]
    if outside or foreign or not delegated:
        reason = "it has no delegate"
        if foreign:
            reason = f"a part is {', '.join(dict.fromkeys(foreign))}'s"
        elif outside:
            reason = f"operators are outside: {', '.join(dict.fromkeys(outside))}"
        message = f"Vulkan's delegate does not take the whole network: {reason}."
        hint = (
            "Replace what it does not take, or name executorch/xnnpack/fp32. Vulkan's rows must not be the CPU's time."
        )
        raise EdgekitError(FailureKind.unsupported_operator, "compile", message, hint)
    if len(delegated) < len(calls):
        raise _wrong("it has instructions that edgekit does not know")
    return delegated


def _constants(file: PTEFile) -> dict[str, bytes]:
    if file.named_data is None:
        return {}
    return {key: bytes(file.named_data.buffers[entry.buffer_index]) for key, entry in file.named_data.pte_data.items()}


def _graph(file: PTEFile, index: int, constants: dict[str, bytes]) -> Graph:
    content = bytes(file.program.backend_delegate_data[index].data)
    return Graph(flatbuffer_to_vk_graph(extract_vk_flatbuffer(content)), constants)


def _operator(name: str) -> Any:
    """Return torch's operator of a name such as ``aten.mean.dim``, called with all its arguments in order."""
    namespace, operator, overload = name.split(".")
    try:
        found = getattr(getattr(getattr(torch.ops, namespace), operator), overload)
    except AttributeError as error:
        message = f"edgekit cannot compute Vulkan's operator {name}, so it cannot compare it with PyTorch."
        raise EdgekitError(FailureKind.unsupported_operator, "parity", message) from error
    schema = found._schema.arguments

    def call(*values: Any) -> Any:
        named = {argument.name: value for argument, value in zip(schema, values, strict=True) if argument.kwarg_only}
        return found(*values[: len(values) - len(named)], **named)

    return call


def _dtype(tensor: VkTensor) -> torch.dtype:
    if tensor.datatype not in DTYPES:
        raise _wrong(f"it computes in {tensor.datatype.name.lower()}, and its target is fp32")
    return DTYPES[tensor.datatype]


def _wrong(what: str) -> EdgekitError:
    return EdgekitError(FailureKind.crashed, "parity", f"The program for Vulkan is wrong: {what}.")
