"""Core ML: an fp16 ML program, converted on any machine; predictions need a Mac."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.backends.base import Compiled, Images, Logits, TensorSpec
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn


class CoreML:
    """Input `image` is float32 NCHW, output `logits` float32; the program computes in fp16."""

    name = "coreml"
    format = "mlpackage"
    targets = (Target("coreml", "-", "fp16"),)
    distributions = ("coremltools", "torch")
    parity_kind = "derived"

    def compile(self, model: nn.Module, target: Target, calibration: Images, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        import coremltools
        import torch

        example = torch.from_numpy(calibration[:1])
        with torch.no_grad():
            shape = tuple(model(example).shape)
        # Exported rather than traced: a trace turns the sizes that TensorFlow padding is computed from into tensors. The empty
        # decomposition table keeps h-swish and h-sigmoid whole.
        exported = torch.export.export(model, (example,)).run_decompositions({})
        package = coremltools.convert(
            exported,
            inputs=[coremltools.TensorType(name="image", shape=example.shape, dtype=np.float32)],
            outputs=[coremltools.TensorType(name="logits", dtype=np.float32)],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT16,
            minimum_deployment_target=coremltools.target.iOS15,
            skip_model_load=True,
        )
        package.save(str(output))
        return Compiled(
            inputs=(TensorSpec(name="image", shape=tuple(example.shape), layout="NCHW"),),
            outputs=(TensorSpec(name="logits", shape=shape, layout="NC"),),
        )

    def execute(self, artifact: Path, images: Images) -> Logits:
        """Execute the saved program in torch (:mod:`edgekit.backends.mil_reference`): derived, not measured."""
        from edgekit.backends import mil_reference

        program = mil_reference.load(artifact)
        return np.concatenate([program.run(image[None]) for image in images])
