"""Which layer departs: artifacts of a network with one wrong layer, beside the right network."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.architectures.blocks import settle_batch_norm
from edgekit.architectures.inputs import Inputs
from edgekit.architectures.registry import build
from edgekit.backends.base import LayerValue, backend_of
from edgekit.build import layer_parity
from edgekit.build.compile import _layers
from edgekit.build.layer_parity import LayerParity, _matched, _snr_db, compare_layers, first_departure
from edgekit.errors import EdgekitError
from edgekit.target import Target

TARGETS = ["tflite/xnnpack/fp32", "tflite/xnnpack/int8", "coreml/-/fp16"]
WRONG = "features.2.0.0"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(8, 3, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def network(images):
    torch.manual_seed(0)
    model = build("mobilenet_v1", width=0.25, depth=0.1, classes=10, padding="same", batch_norm_epsilon=1e-3)
    settle_batch_norm(model, (torch.from_numpy(images),))
    return model


def layers_of(artifact_of, network, target, images, folder):
    target = Target.parse(target)
    backend = backend_of(target)
    output = folder / f"model.{backend.format}"
    backend.compile(artifact_of, target, Inputs.of_images(images), output)
    return compare_layers(network, target, Inputs.of_images(images), output, Inputs.of_images(images[:2]))


@pytest.mark.parametrize("target", TARGETS)
def test_a_right_artifact_has_no_layer_that_departs(network, images, target, tmp_path):
    found = layers_of(network, network, target, images, tmp_path)
    modules = dict(network.named_modules())
    assert [layer.name for layer in found] == [
        name for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    assert min(layer.alone for layer in found) > 33
    assert first_departure(found, Target.parse(target).precision) is None


@pytest.mark.parametrize("target", TARGETS)
def test_weights_that_are_5_percent_off_are_found_where_they_are(network, images, target, tmp_path):
    wrong = copy.deepcopy(network)
    weight = wrong.get_submodule(WRONG).weight
    weight.data *= 1 + 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    found = layers_of(wrong, network, target, images, tmp_path)
    assert first_departure(found, Target.parse(target).precision).name == WRONG
    assert [layer.name for layer in found if layer.alone < 30] == [WRONG]  # no other is blamed for it


def test_executorch_shows_the_layers_of_the_graph_that_it_lowers(network, images, tmp_path):
    found = layers_of(network, network, "executorch/xnnpack/int8", images, tmp_path)
    assert len(found) == 12
    assert found[0].so_far > 25


def test_a_layer_that_is_right_alone_departs_where_the_noise_before_it_is_too_much():
    layers = [LayerParity("one", 40, 999), LayerParity("two", 8, 50), LayerParity("three", 3, 50)]
    assert first_departure(layers, "int8").name == "two"
    assert first_departure(layers[:1], "int8") is None
    assert first_departure([*layers, LayerParity("four", 3, 20)], "int8").name == "four"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_layer_that_is_not_finite_has_a_figure_that_json_can_hold(value):
    with np.errstate(invalid="ignore"):
        assert _snr_db(np.ones(3), np.array([1, 1, value])) == -999


def test_layers_of_another_network_are_refused():
    own = {"one": SimpleNamespace(layer=nn.Linear(3, 4))}
    for outputs, weight in ((5, (4, 3)), (4, (4, 2))):
        values = [LayerValue(np.zeros((1, 3)), np.zeros((1, outputs)), weight)]
        with pytest.raises(EdgekitError, match="not those of the model"):
            _matched({"one": np.zeros((1, 4))}, own, values)


def test_layers_that_cannot_be_compared_are_no_failure_and_the_reason_is_kept(network, images, monkeypatch, tmp_path):
    monkeypatch.setattr(layer_parity, "backend_of", lambda target: SimpleNamespace(name="other"))
    images = images[:1]
    layers, problem = _layers(network, Target.parse("tflite/xnnpack/int8"), images, tmp_path / "none", images)
    assert (layers, problem) == ([], "The backend other does not show what its layers compute.")
