"""Outputs that are joined from several layers, as a detector's: each part keeps its own steps."""

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import nn

from edgekit.architectures.inputs import Inputs
from edgekit.architectures.outputs import named_outputs
from edgekit.backends.base import backend_of, by_name
from edgekit.target import Target

QUIET, LOUD = slice(0, 64), slice(64, None)


class Detector(nn.Module):
    """Two maps with a head each; the second head's values are 1000 times as large, and boxes 100 times as large again."""

    output_names = ("class_logits", "box_codes")

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.classes = nn.ModuleList(nn.Conv2d(8, 3, 1) for _ in range(2))
        self.boxes = nn.ModuleList(nn.Conv2d(8, 4, 1) for _ in range(2))
        for head, scale in zip((*self.classes, *self.boxes), (1, 1e3, 1e2, 1e5), strict=True):
            head.weight.data *= scale
            head.bias.data *= scale

    def forward(self, images):
        first = self.first(images).relu()
        maps = (first, self.second(first).relu())

        def joined(heads):
            outputs = (head(one).permute(0, 2, 3, 1) for head, one in zip(heads, maps, strict=True))
            return torch.cat([one.reshape(len(images), -1, one.shape[-1]) for one in outputs], 1)

        return joined(self.classes), joined(self.boxes)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    torch.manual_seed(0)
    model, target = Detector().eval(), Target.parse("tflite/xnnpack/int8")
    images = torch.randn(8, 3, 16, 16)
    file = tmp_path_factory.mktemp("joined") / "model.tflite"
    facts = backend_of(target).compile(model, target, Inputs.of_images(images.numpy()), file)
    with torch.no_grad():
        reference = {name: one.numpy() for name, one in named_outputs(model, images).items()}
    return (
        file,
        facts,
        reference,
        by_name(facts.outputs, backend_of(target).execute(file, Inputs.of_images(images.numpy()))),
    )


@pytest.mark.parametrize("output", ["class_logits", "box_codes"])
@pytest.mark.parametrize("part", [QUIET, LOUD], ids=["quiet", "loud"])
def test_a_quiet_part_of_an_output_is_as_exact_as_a_loud_one(compiled, output, part):
    _, _, reference, outputs = compiled
    wanted, found = (values[output][:, part] for values in (reference, outputs))
    assert 10 * np.log10(np.square(wanted).mean() / np.square(found - wanted).mean()) > 25


def test_joining_in_float_leaves_one_delegate(compiled):
    file, facts, _, _ = compiled
    assert facts.delegation.partitions == 1
    assert facts.delegation.complete
    interpreter = Interpreter(str(file), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    types = {detail["index"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
    nodes = interpreter._get_ops_details()
    joined = [types[int(index)] for node in nodes if node["op_name"] == "CONCATENATION" for index in node["inputs"]]
    assert joined == [np.float32] * 4
    layers = [types[int(node["outputs"][0])] for node in nodes if node["op_name"] == "CONV_2D"]
    assert sorted(one.__name__ for one in layers) == ["float32"] * 4 + ["int8"] * 2
