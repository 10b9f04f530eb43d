"""What a stranger writes to add a backend and a device: two classes and two entry points."""

from typing import ClassVar

import numpy as np
import torch

from edgekit.backends.base import Compiled, TensorSpec
from edgekit.devices.base import Identity
from edgekit.devices.host import Host
from edgekit.devices.profile import DeviceProfile
from edgekit.target import Target


class TorchScript:
    """Traces the model; runs where torch does."""

    name = "torchscript"
    format = "pt"
    targets = (Target("torchscript", "-", "fp32"), Target("torchscript", "gpu", "fp32"))
    distributions = ("torch",)
    modules = ("torch",)
    parity_kind = "measured"

    def compile(self, model, target, calibration, output):
        example = calibration[:1].tensors()
        torch.jit.save(torch.jit.trace(model, example), str(output))
        with torch.no_grad():
            shape = tuple(model(*example).shape)
        return Compiled(
            inputs=(TensorSpec(name="image", shape=tuple(example[0].shape), layout="NCHW"),),
            outputs=(TensorSpec(name="logits", shape=shape, layout="NC"),),
        )

    def execute(self, artifact, inputs):
        program = torch.jit.load(str(artifact))
        with torch.no_grad():
            return (np.concatenate([program(*example.tensors()).numpy() for example in inputs]),)


class NeighbourProfile(DeviceProfile):
    """A neighbour. `house` is the number of its house; the runner times one delegate of torchscript."""

    delegates: ClassVar = {**DeviceProfile.delegates, "torchscript": ("-",)}
    house: int = 1


class Neighbour(Host):
    """Reached like the host, but another device."""

    config = NeighbourProfile

    def identify(self):
        facts = {"soc": "unknown", "emulated": False}
        return Identity(f"neighbour-{self.profile.house}", "a neighbour", "its own", facts)
