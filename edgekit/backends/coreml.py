"""Core ML: an fp16 ML program, converted on any machine; predictions need a Mac."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.backends.base import Compiled, Images, LayerValue, Outputs, TensorSpec, torch_spec
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn


class CoreML:
    """Input `image` is float32 NCHW, outputs are float32 under the model's names; the program computes in fp16."""

    name = "coreml"
    format = "mlpackage"
    targets = (Target("coreml", "-", "fp16"),)
    distributions = ("coremltools", "torch")
    modules = ("coremltools", "edgekit.backends.mil_interpreter")
    parity_kind = "derived"
    layers_of = "artifact"

    def compile(self, model: nn.Module, target: Target, calibration: Images, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        import coremltools
        import torch

        from edgekit.architectures.outputs import named_outputs

        example = torch.from_numpy(calibration[:1])
        shapes = {name: output.shape for name, output in named_outputs(model, example).items()}
        # Exported rather than traced: a trace turns the sizes that TensorFlow padding is computed from into tensors. The empty
        # decomposition table keeps h-swish and h-sigmoid whole.
        exported = torch.export.export(model, (example,)).run_decompositions({})
        package = coremltools.convert(
            exported,
            inputs=[coremltools.TensorType(name="image", shape=example.shape, dtype=np.float32)],
            outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in shapes],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT16,
            minimum_deployment_target=coremltools.target.iOS15,
            skip_model_load=True,
        )
        package.save(str(output))
        return Compiled(
            inputs=(TensorSpec(name="image", shape=tuple(example.shape), layout="NCHW"),),
            outputs=tuple(torch_spec(one.name, shapes[one.name]) for one in package.get_spec().description.output),
        )

    def execute(self, artifact: Path, images: Images) -> Outputs:
        """Execute the saved program in torch (:mod:`edgekit.backends.mil_interpreter`): derived, not measured."""
        from edgekit.backends import mil_interpreter

        program = mil_interpreter.load(artifact)
        outputs = [program.run(image[None]) for image in images]
        return tuple(np.concatenate([one[name] for one in outputs]) for name in program.output_names)

    def layer_values(
        self, model: nn.Module, target: Target, calibration: Images, artifact: Path, images: Images
    ) -> list[LayerValue]:
        """Return what the layers of the saved program compute in torch."""
        from edgekit.backends import mil_interpreter

        program = mil_interpreter.load(artifact)
        runs = [program.layers(image[None]) for image in images]
        found = []
        for layer in zip(*runs, strict=True):
            inputs, outputs, (weight, *_) = zip(*layer, strict=True)
            found.append(LayerValue(np.concatenate(inputs), np.concatenate(outputs), weight))
        return found
