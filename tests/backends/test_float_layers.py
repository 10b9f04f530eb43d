"""Layers that the recipe keeps in float: both backends compute them in float, and only them."""

import numpy as np
import pytest
import torch
from tiny import RECIPE, SETTINGS
from torch import nn

from edgekit.architectures.inputs import Inputs
from edgekit.backends import executorch, tflite
from edgekit.backends.executorch import _quantise
from edgekit.backends.quantization import optimise_for_int8
from edgekit.backends.quantization.float_layers import float_layers, keep_in_float
from edgekit.backends.quantization.graph import LAYERS
from edgekit.backends.quantization.tflite_layers import as_tflite
from edgekit.build.prepare import build_model
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.loading import load_recipe

KEPT = ("depthwise", "classifier")


class Small(nn.Module):
    """A convolution, a depthwise one, one more and a classifier."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU6())
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.clip = nn.ReLU6()
        self.last = nn.Conv2d(8, 12, 1)
        self.classifier = nn.Linear(12, 5)

    def forward(self, image):
        pixels = self.last(self.clip(self.depthwise(self.first(image))))
        return self.classifier(pixels.mean((2, 3), keepdim=True).flatten(1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).numpy()


@pytest.fixture
def kept(network):
    keep_in_float(network, KEPT)
    yield network
    keep_in_float(network, ())


def test_an_unknown_layer_is_refused_with_the_nearest_name(network):
    with pytest.raises(UsageError) as caught:
        keep_in_float(network, ["first.O"])
    assert caught.value.failure.message == "quantization.float_layers: the model has no layer named first.O."
    assert caught.value.failure.hint == "Did you mean first.0?"
    with pytest.raises(UsageError):
        keep_in_float(network, ["clip"])  # it has no weights


def test_the_recipes_float_layers_are_checked_when_its_model_is_built():
    recipe = load_recipe(RECIPE, (*SETTINGS, "quantization.float_layers=[features.0.O]"))
    with pytest.raises(UsageError) as caught:
        build_model(recipe, None, 0, np.zeros((2, 3, 64, 64), np.float32))
    assert caught.value.failure.kind is FailureKind.recipe
    assert caught.value.failure.hint == "Did you mean features.0.0?"


def test_float_layers_are_part_of_the_build_and_not_of_the_prepared_model():
    plain = load_recipe(RECIPE, SETTINGS)
    kept = load_recipe(RECIPE, (*SETTINGS, "quantization.float_layers=[features.0.0]"))
    assert plain.build_hash != kept.build_hash
    assert plain.model_hash == kept.model_hash


def test_a_layer_listed_twice_is_refused():
    with pytest.raises(UsageError, match=r"listed more than once: features\.0\.0"):
        load_recipe(RECIPE, (*SETTINGS, "quantization.float_layers=[features.0.0, features.0.0]"))


def test_weights_of_float_layers_are_not_rounded(kept, images):
    optimised = optimise_for_int8(kept, Inputs.of_images(images))
    assert float_layers(optimised) == KEPT
    for name in ("first.0", "depthwise", "last", "classifier"):
        weight = optimised.get_submodule(name).weight.flatten(1)
        steps = weight / (weight.abs().amax(1, keepdim=True) / 127)
        on_grid = bool((steps - steps.round()).abs().max() < 1e-2)
        assert on_grid is (name not in KEPT), name


def test_tflite_computes_float_layers_in_float(kept, images, tmp_path):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    compiled = tflite.TFLite().compile(kept, tflite.INT8, Inputs.of_images(images), tmp_path / "model.tflite")
    assert compiled.delegation.complete
    interpreter = Interpreter(
        str(tmp_path / "model.tflite"),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    types = {detail["index"]: np.dtype(detail["dtype"]).name for detail in interpreter.get_tensor_details()}
    found = [
        (node["op_name"], *(types[int(index)] for index in (*node["inputs"][:2], node["outputs"][0])))
        for node in interpreter._get_ops_details()
        if "CONV" in node["op_name"] or node["op_name"] == "FULLY_CONNECTED"
    ]
    assert found == [
        ("CONV_2D", "int8", "int8", "int8"),
        ("DEPTHWISE_CONV_2D", "float32", "float32", "float32"),
        ("CONV_2D", "int8", "int8", "int8"),
        ("FULLY_CONNECTED", "float32", "float32", "float32"),
    ]


def test_a_layer_whose_weights_are_not_in_the_tflite_file_is_refused(kept, images, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "edgekit.backends.quantization.tflite_layers.as_tflite", lambda layer: as_tflite(layer) + np.float32(1)
    )
    with pytest.raises(EdgekitError, match="The layer depthwise cannot stay in float") as caught:
        tflite.TFLite().compile(kept, tflite.INT8, Inputs.of_images(images), tmp_path / "model.tflite")
    assert caught.value.failure.kind is FailureKind.compilation


def test_executorch_computes_float_layers_in_float(network, images, tmp_path):
    exported = torch.export.export(network, (torch.from_numpy(images[:1]),))
    converted = _quantise(exported, Inputs.of_images(images), KEPT)
    layers = {str(node.args[1]): node for node in converted.graph.nodes if node.target in LAYERS}
    in_float = {name for name, node in layers.items() if node.args[1].op == "get_attr"}
    assert in_float == {"depthwise_weight", "classifier_weight"}
    assert len(layers) == 4
    (clip,) = layers["depthwise_weight"].users  # nothing is rounded before the activation
    assert "hardtanh" in str(clip.target)


def test_executorch_keeps_one_delegate_with_float_layers(kept, images, tmp_path):
    backend = executorch.ExecuTorch()
    compiled = backend.compile(kept, executorch.INT8, Inputs.of_images(images), tmp_path / "model.pte")
    assert compiled.delegation.partitions == 1
    assert compiled.delegation.complete
    (outputs,) = backend.execute(tmp_path / "model.pte", Inputs.of_images(images))
    wanted = kept(torch.from_numpy(images)).detach().numpy()
    assert np.abs(outputs - wanted).max() < 0.05 * np.abs(wanted).max()
