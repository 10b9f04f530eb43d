"""ExecuTorch with the XNNPACK delegate: torch.export, then PT2E for int8, then lowering. On request with Vulkan's, in fp32.

edgekit's own runners have no Vulkan. ExecuTorch's ``executor_runner`` may have it, as a tool of a device's profile. So that
target is none of a recipe's default targets: it is compiled if it is named, or if a device's profile has a tool for it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Compiled, Delegation, LayerValue, Outputs, input_specs, torch_spec
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

FP32 = Target("executorch", "xnnpack", "fp32")
INT8 = Target("executorch", "xnnpack", "int8")
VULKAN = Target("executorch", "vulkan", "fp32")
VULKAN_DELEGATE = "VulkanBackend"
"""Its name in a ``.pte``."""


class ExecuTorch:
    """Inputs are float32 NCHW, outputs float32; int8 graphs quantise inside."""

    name = "executorch"
    format = "pte"
    targets = (FP32, INT8, VULKAN)
    derived = (VULKAN,)
    distributions = ("executorch", "torch", "torchao")
    modules = (
        "executorch.exir",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
        "executorch.backends.xnnpack.quantizer.xnnpack_quantizer",
        "torchao.quantization.pt2e.quantize_pt2e",
        "edgekit.backends.rewrite",
    )
    parity_kind = "measured"
    layers_of = "graph"

    def compile(self, model: nn.Module, target: Target, calibration: Inputs, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`.

        EdgekitError (``unsupported_operator``) if Vulkan's delegate does not take the whole network.
        """
        import torch
        from executorch.exir import to_edge_transform_and_lower

        from edgekit.architectures.outputs import named_outputs

        example = calibration[:1]
        exported = torch.export.export(_graph(model, target, calibration), example.tensors())
        lowered = to_edge_transform_and_lower(exported, partitioner=[_partitioner(target)])
        delegation = _delegation(lowered.exported_program().graph)
        content = lowered.to_executorch().buffer
        if target == VULKAN:
            from edgekit.backends.vulkan_program import Program

            Program(content)  # which checks what the file really holds
        output.write_bytes(content)
        return Compiled(
            inputs=input_specs(example),
            # torch.export keeps the order of a tuple; the runner reads the shapes back, and parity compares by name.
            outputs=tuple(
                torch_spec(name, output.shape) for name, output in named_outputs(model, *example.tensors()).items()
            ),
            delegation=delegation,
        )

    def execute(self, artifact: Path, inputs: Inputs) -> Outputs:
        """Run the artifact in ExecuTorch; one for Vulkan by :mod:`edgekit.backends.vulkan_program`, without its runtime."""
        if VULKAN_DELEGATE.encode() in artifact.read_bytes():
            from edgekit.backends import vulkan_program

            return vulkan_program.execute(artifact, inputs)
        from edgekit.runners import infer

        return infer(artifact, inputs.arrays.values())

    def layer_values(
        self, model: nn.Module, target: Target, calibration: Inputs, artifact: Path, inputs: Inputs
    ) -> list[LayerValue]:
        """Return what the layers of the graph compute from which the artifact is lowered: derived, not measured.

        The delegate computes the whole artifact and shows nothing between its input and its output.
        """
        import torch

        from edgekit.backends.quantization.graph import LAYERS, activation_after, arguments, record

        graph = _graph(model, target, calibration)
        if not isinstance(graph, torch.fx.GraphModule):
            graph = torch.export.export(graph, inputs[:1].tensors()).module()
        nodes = [node for node in graph.graph.nodes if node.target in LAYERS]
        ends = [(node.all_input_nodes[0], activation_after(node) or node) for node in nodes]
        applied = [arguments(node)[1] for node in nodes]
        wanted = {node for pair in ends for node in pair} | set(applied)
        runs = [record(graph, wanted, example.tensors()) for example in inputs]
        joined = {node: np.concatenate([run[node].numpy() for run in runs]) for pair in ends for node in pair}
        return [
            LayerValue(joined[input], joined[output], tuple(runs[0][weight].shape))
            for (input, output), weight in zip(ends, applied, strict=True)
        ]


def _partitioner(target: Target) -> Any:
    """Return what chooses the parts of the graph for the target's delegate."""
    if target == VULKAN:
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner()
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _graph(model: nn.Module, target: Target, calibration: Inputs) -> Any:
    """Return what is lowered: the model in the forms that the delegate takes, for int8 the quantised graph."""
    import torch

    from edgekit.backends.quantization import optimise_for_int8
    from edgekit.backends.quantization.float_layers import float_layers
    from edgekit.backends.rewrite import decompose

    source = optimise_for_int8(model, calibration) if target == INT8 else model
    rewritten = decompose(source, hard_sigmoid=True, l2_norm=True, average_pool=target == INT8)
    if target != INT8:
        return rewritten
    exported = torch.export.export(rewritten, calibration[:1].tensors())
    return _quantise(exported, calibration, float_layers(rewritten))


def _quantise(exported: Any, calibration: Inputs, float_layers: Collection[str] = ()) -> Any:
    """Quantise everything to int8, but a fully connected layer that makes an output: its input is quantised as it comes.

    Its result then is float and cannot saturate, in the same delegate. Other outputs have a range with margin.
    The layers named in `float_layers` stay in float.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from edgekit.backends.quantization.executorch_quantizer import FusingQuantizer

    quantizer = FusingQuantizer(float_layers).set_global(get_symmetric_quantization_config(is_per_channel=True))
    module = exported.module()
    for name in _linear_outputs(module):
        quantizer.set_module_name(name, get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True))
    prepared = prepare_pt2e(module, quantizer)
    _allow_small_scales(prepared)
    _widen_outputs(prepared)
    with torch.no_grad():
        for example in calibration:
            prepared(*example.tensors())
    return convert_pt2e(prepared)


def _linear_outputs(module: Any) -> list[str]:
    """Return the names of the fully connected layers whose results are outputs of the graph."""
    import torch

    from edgekit.backends.quantization.graph import layer_name

    (output,) = (node for node in module.graph.nodes if node.op == "output")
    return [layer_name(node) for node in output.all_input_nodes if node.target is torch.ops.aten.linear.default]


def _allow_small_scales(prepared: Any) -> None:
    """Let weights have the scale that fits them: XNNPACK's quantizer makes none finer than 2**-12, too coarse for small ones."""
    import torch
    from torchao.quantization.pt2e.observer import PerChannelMinMaxObserver

    for observer in prepared.modules():
        if isinstance(observer, PerChannelMinMaxObserver):
            observer.eps.fill_(torch.finfo(torch.float32).eps)


def _widen_outputs(prepared: Any) -> None:
    """Give the observers of the outputs, and of what is joined or resized to them, a range with margin."""
    from edgekit.backends.quantization.graph import MOVES_VALUES
    from edgekit.backends.quantization.ranges import OutputObserver

    (output,) = (node for node in prepared.graph.nodes if node.op == "output")
    observers: set[int] = set()
    waiting, seen = list(output.all_input_nodes), set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module":
            observers.add(id(prepared.get_submodule(node.target)))
            waiting += node.all_input_nodes
        elif node.target in MOVES_VALUES:
            waiting += node.all_input_nodes
    wide: dict[int, OutputObserver] = {}
    for name, observer in list(prepared.named_modules(remove_duplicate=False)):
        if id(observer) in observers:
            setattr(prepared, name, wide.setdefault(id(observer), OutputObserver(observer)))


def _delegation(graph: Any) -> Delegation:
    calls = [getattr(node.target, "__name__", str(node.target)) for node in graph.nodes if node.op == "call_function"]
    outside = tuple(name for name in calls if name not in {"executorch_call_delegate", "getitem"})
    return Delegation(partitions=calls.count("executorch_call_delegate"), complete=not outside, outside=outside)
