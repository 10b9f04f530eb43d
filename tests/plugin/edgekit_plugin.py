"""What a stranger writes to add a backend and a device: two classes and two entry points."""

import numpy as np
import torch

from edgekit.backends.base import Compiled, TensorSpec
from edgekit.devices.base import Identity
from edgekit.devices.host import Host
from edgekit.target import Target


class TorchScript:
    """Traces the model; runs where torch does."""

    name = "torchscript"
    format = "pt"
    targets = (Target("torchscript", "-", "fp32"),)
    distributions = ("torch",)
    modules = ("torch",)
    parity_kind = "measured"

    def compile(self, model, target, calibration, output):
        example = torch.from_numpy(calibration[:1])
        torch.jit.save(torch.jit.trace(model, example), str(output))
        with torch.no_grad():
            shape = tuple(model(example).shape)
        return Compiled(
            inputs=(TensorSpec(name="image", shape=tuple(example.shape), layout="NCHW"),),
            outputs=(TensorSpec(name="logits", shape=shape, layout="NC"),),
        )

    def execute(self, artifact, images):
        program = torch.jit.load(str(artifact))
        with torch.no_grad():
            return (np.concatenate([program(torch.from_numpy(image[None])).numpy() for image in images]),)


class Neighbour(Host):
    """Reached like the host, but somebody else."""

    def identify(self):
        return Identity("neighbour", "a neighbour", "its own", {"soc": "unknown", "emulated": False})
