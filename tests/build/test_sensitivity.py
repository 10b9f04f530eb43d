"""The scan finds the layer that suffers most in int8."""

import pytest
import torch
from torch import nn

from edgekit.architectures.inputs import Inputs
from edgekit.build import sensitivity
from edgekit.build.sensitivity import layer_sensitivities


class Uneven(nn.Module):
    """If it is `uneven`, channel 0 of `depthwise` is 300 times as large as the others, and `last` makes up for it.

    In float that changes nothing. In int8 the others have one step left. Between them is an h-swish, over which
    channels cannot be equalised.
    """

    def __init__(self, uneven):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.swish = nn.Hardswish()
        self.last = nn.Conv2d(8, 12, 1)
        self.classifier = nn.Linear(12, 5)
        if uneven:
            self.depthwise.weight[0] *= 300
            self.last.weight[:, 0] /= 300

    def forward(self, image):
        pixels = self.last(self.swish(self.depthwise(self.first(image))))
        return self.classifier(pixels.mean((2, 3), keepdim=True).flatten(1))


@pytest.fixture
def images():
    return torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0)).numpy()


def scanned(uneven, images):
    torch.manual_seed(0)
    with torch.no_grad():
        model = Uneven(uneven).eval()
    return {
        layer.name: layer.snr_db
        for layer in layer_sensitivities(model, *map(Inputs.of_images, (images[:8], images[8:])))
    }


def test_the_layer_whose_channels_differ_most_is_the_most_sensitive(images):
    found, even = scanned(True, images), scanned(False, images)
    assert next(iter(found)) == "depthwise"
    assert found["depthwise"] < min(snr for name, snr in found.items() if name != "depthwise") - 10
    assert found["depthwise"] < even["depthwise"] - 10
    assert list(found.values()) == sorted(found.values())
    assert set(found) == {"first.0", "depthwise", "last", "classifier"}


def test_only_the_layer_itself_and_its_output_are_quantised(images, monkeypatch):
    rounded = []
    monkeypatch.setattr(sensitivity, "fake_quantise", lambda values, like: rounded.append(values.shape) or values)
    monkeypatch.setattr(sensitivity, "round_layer", lambda layer, inputs: layer.module.weight)
    found = scanned(False, images)
    assert min(found.values()) > 100  # nothing was changed, so nothing differs but the order of additions
    assert len(rounded) == 3  # one output each; a classifier's own output stays in float
