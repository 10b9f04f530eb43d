"""Core ML: an fp16 ML program, converted on any machine; predictions need a Mac."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.architectures.inputs import Array, Inputs
from edgekit.backends.base import Compiled, LayerValue, Outputs, input_specs, torch_spec
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn


class CoreML:
    """Inputs are float32 (photos NCHW), outputs are float32 under the model's names; the program computes in fp16."""

    name = "coreml"
    format = "mlpackage"
    targets = (Target("coreml", "-", "fp16"),)
    distributions = ("coremltools", "torch")
    modules = ("coremltools", "edgekit.backends.mil_interpreter")
    parity_kind = "derived"
    layers_of = "artifact"

    def compile(self, model: nn.Module, target: Target, calibration: Inputs, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        import coremltools
        import torch

        from edgekit.architectures.outputs import named_outputs

        example = calibration[:1]
        shapes = {name: output.shape for name, output in named_outputs(model, *example.tensors()).items()}
        # Exported rather than traced: a trace turns the sizes that TensorFlow padding is computed from into tensors. The empty
        # decomposition table keeps h-swish and h-sigmoid whole.
        exported = torch.export.export(model, example.tensors()).run_decompositions({})
        package = coremltools.convert(
            exported,
            inputs=[
                coremltools.TensorType(name=name, shape=array.shape, dtype=np.float32)
                for name, array in example.arrays.items()
            ],
            outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in shapes],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT16,
            minimum_deployment_target=coremltools.target.iOS15,
            skip_model_load=True,
        )
        package.save(str(output))
        return Compiled(
            inputs=input_specs(example),
            outputs=tuple(
                torch_spec(output.name, shapes[output.name]) for output in package.get_spec().description.output
            ),
        )

    def execute(self, artifact: Path, inputs: Inputs) -> Outputs:
        """Execute the saved program in torch (:mod:`edgekit.backends.mil_interpreter`): derived, not measured."""
        from edgekit.backends import mil_interpreter

        program = mil_interpreter.load(artifact)
        outputs = [program.run(_named(program, example)) for example in inputs]
        return tuple(np.concatenate([output[name] for output in outputs]) for name in program.output_names)

    def layer_values(
        self, model: nn.Module, target: Target, calibration: Inputs, artifact: Path, inputs: Inputs
    ) -> list[LayerValue]:
        """Return what the layers of the saved program compute in torch."""
        from edgekit.backends import mil_interpreter

        program = mil_interpreter.load(artifact)
        runs = [program.layers(_named(program, example)) for example in inputs]
        found = []
        for layer in zip(*runs, strict=True):
            read, written, (weight, *_) = zip(*layer, strict=True)
            found.append(LayerValue(np.concatenate(read), np.concatenate(written), weight))
        return found


def _named(program: Any, example: Inputs) -> dict[str, Array]:
    """Return an example under the program's input names. coremltools renames reserved words."""
    return dict(zip(program.input_shapes, example.arrays.values(), strict=True))
