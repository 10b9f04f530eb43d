"""ExecuTorch with the XNNPACK delegate: torch.export, then PT2E for int8, then lowering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.backends.base import Compiled, Delegation, Images, Outputs, TensorSpec, torch_spec
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

FP32 = Target("executorch", "xnnpack", "fp32")
INT8 = Target("executorch", "xnnpack", "int8")


class ExecuTorch:
    """Inputs are float32 NCHW, outputs float32; int8 graphs quantise inside."""

    name = "executorch"
    format = "pte"
    targets = (FP32, INT8)
    distributions = ("executorch", "torch", "torchao")
    modules = (
        "executorch.exir",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
        "executorch.backends.xnnpack.quantizer.xnnpack_quantizer",
        "torchao.quantization.pt2e.quantize_pt2e",
        "edgekit.backends.rewrite",
    )
    parity_kind = "measured"

    def compile(self, model: nn.Module, target: Target, calibration: Images, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        from edgekit.backends.rewrite import decompose
        from edgekit.models.outputs import named_outputs

        example = (torch.from_numpy(calibration[:1]),)
        rewritten = decompose(model, hard_sigmoid=True, l2_norm=True, average_pool=target == INT8)
        exported = torch.export.export(rewritten, example)
        if target == INT8:
            exported = torch.export.export(_quantise(exported, calibration), example)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        delegation = _delegation(lowered.exported_program().graph)
        output.write_bytes(lowered.to_executorch().buffer)
        return Compiled(
            inputs=(TensorSpec(name="image", shape=tuple(example[0].shape), layout="NCHW"),),
            # torch.export keeps the order of a tuple; the runner reads the shapes back, and parity compares by name.
            outputs=tuple(torch_spec(name, one.shape) for name, one in named_outputs(model, example[0]).items()),
            delegation=delegation,
        )

    def execute(self, artifact: Path, images: Images) -> Outputs:
        """See :class:`edgekit.backends.base.Backend`."""
        from edgekit.runners import infer

        return infer(artifact, images)


def _quantise(exported: Any, calibration: Images) -> Any:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(exported.module(), quantizer)
    with torch.no_grad():
        for image in torch.from_numpy(calibration):
            prepared(image[None])
    return convert_pt2e(prepared)


def _delegation(graph: Any) -> Delegation:
    calls = [getattr(node.target, "__name__", str(node.target)) for node in graph.nodes if node.op == "call_function"]
    outside = tuple(name for name in calls if name not in {"executorch_call_delegate", "getitem"})
    return Delegation(partitions=calls.count("executorch_call_delegate"), complete=not outside, outside=outside)
