"""Both runners give a network's inputs in the order of the artifact, also if they look alike."""

import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import by_name, in_layout
from edgekit.backends.executorch import ExecuTorch
from edgekit.backends.tflite import TFLite
from edgekit.runners import PYTHON_RUNNER, split_outputs, write_inputs
from edgekit.runners.bundle import command


class Difference(nn.Module):
    """Two inputs of the same shape, and an image, that play different parts."""

    output_names = ("left", "right")

    def __init__(self):
        super().__init__()
        self.first, self.second, self.look = nn.Linear(16, 4), nn.Linear(16, 4), nn.Conv2d(3, 4, 3)

    def forward(self, right, image, left):
        seen = self.look(image).mean((2, 3))
        return self.first(left) + seen, self.second(right) - 2 * seen


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Difference().eval()


@pytest.fixture(scope="module")
def examples():
    random = np.random.default_rng(0)
    shapes = {"right": (16,), "image": (3, 8, 6), "left": (16,)}
    return Inputs({name: random.normal(size=(3, *shape)).astype(np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("backend", [TFLite(), ExecuTorch()], ids=["tflite", "executorch"])
def test_a_runner_gives_every_input_its_place(backend, native, network, examples, capsule, tmp_path):
    model = tmp_path / f"model.{backend.format}"
    compiled = backend.compile(network, backend.targets[0], examples, model)
    write_inputs(in_layout(examples, compiled.inputs), tmp_path / "in.bin")
    runner = command(str(capsule), platform.machine(), backend.name) if native else (sys.executable, PYTHON_RUNNER)
    arguments = ("--model", model, "--input", tmp_path / "in.bin", "--output", tmp_path / "out.bin")
    done = subprocess.run([*map(str, (*runner, *arguments))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shapes = [list(spec.shape) for spec in compiled.outputs]
    values = split_outputs(np.fromfile(tmp_path / "out.bin", np.float32), len(examples), shapes)
    found = by_name(compiled.outputs, values)
    with torch.no_grad():
        left, right = network(*examples.tensors())
    np.testing.assert_allclose(found["left"], left.numpy(), atol=1e-5)
    np.testing.assert_allclose(found["right"], right.numpy(), atol=1e-5)
