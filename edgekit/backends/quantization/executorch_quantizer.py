"""ExecuTorch's quantizer for XNNPACK, with clipped ReLUs fused into what they follow."""

from __future__ import annotations

from collections.abc import Collection

from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
from torch import fx
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from edgekit.backends.quantization.graph import CLIPPED_RELU, LAYERS, aten, layer_name


class FusingQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """Stores what a layer or an addition computes after its clipped ReLU, not before.

    XNNPACKQuantizer knows that of a plain ReLU only. Before a ReLU6 it stores values that the ReLU6 cuts off, with steps as
    much coarser: in MobileNetV1 from -23 to 24 instead of from 0 to 6. The delegate fuses both.
    The layers named in `float_layers` stay in float.
    """

    def __init__(self, float_layers: Collection[str] = ()) -> None:
        super().__init__()
        self.set_filter_function(lambda node: node.target not in LAYERS or layer_name(node) not in float_layers)

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotate the graph as XNNPACKQuantizer does, then move output ranges behind clipped ReLUs."""
        annotated: fx.GraphModule = super().annotate(model)
        for node in annotated.graph.nodes:
            if node.target not in CLIPPED_RELU or Q_ANNOTATION_KEY not in node.meta:
                continue
            (before,) = node.all_input_nodes
            own, its = node.meta[Q_ANNOTATION_KEY], before.meta.get(Q_ANNOTATION_KEY)
            fusible = before.target in LAYERS | {aten.add.Tensor, aten.mul.Tensor} and len(before.users) == 1
            if fusible and its is not None and its.output_qspec is not None:
                own.input_qspec_map, own.output_qspec, its.output_qspec = {}, its.output_qspec, None
        return annotated
