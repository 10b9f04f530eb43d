"""ONNX: a float32 graph of static shapes, from the same exported program, for tools that users compare with.

edgekit's own runners do not time it. TensorRT's ``trtexec`` does, as a tool of a device's profile. So its target is none of
a recipe's default targets: it is compiled if it is named, or if a device's profile has a tool for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Compiled, Outputs, input_specs, torch_spec
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
"""The lowest that torch's exporter writes: it gives up on converting to a lower one."""


class Onnx:
    """Inputs and outputs are float32 under the model's own names and in its layouts."""

    name = "onnx"
    format = "onnx"
    targets = (Target("onnx", "-", "fp32"),)
    distributions = ("onnx", "onnxruntime", "onnxscript", "torch")
    modules = ("onnxscript", "torch.onnx")
    parity_kind = "measured"
    extra = "onnx"

    def compile(self, model: nn.Module, target: Target, calibration: Inputs, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        import torch

        from edgekit.architectures.outputs import named_outputs

        example = calibration[:1]
        shapes = {name: output.shape for name, output in named_outputs(model, *example.tensors()).items()}
        exported = torch.export.export(model, example.tensors())
        torch.onnx.export(
            exported,
            (),
            str(output),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(example.arrays),
            output_names=list(shapes),
            verbose=False,
        )
        return Compiled(
            inputs=input_specs(example), outputs=tuple(torch_spec(name, shape) for name, shape in shapes.items())
        )

    def execute(self, artifact: Path, inputs: Inputs) -> Outputs:
        """Run the graph in ONNX Runtime on this machine's CPU."""
        import onnxruntime

        session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
        results = [session.run(None, dict(example.arrays)) for example in inputs]
        return tuple(np.concatenate(outputs).astype(np.float32) for outputs in zip(*results, strict=True))
