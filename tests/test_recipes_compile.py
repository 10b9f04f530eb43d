"""Every recipe through the converters: in the fast set at a small size with the targets taking turns, in the slow set whole."""

import pytest

from edgekit.models import ARCHITECTURES
from edgekit.photos import photo_set
from edgekit.pipeline import Plan, build_artifacts
from edgekit.recipe import KNOWN_TARGETS, known_recipes, load_recipe

RECIPES = sorted(known_recipes())
LARGE = {"vgg16", *(f"efficientnet_b{number}" for number in range(4, 8))}
"""Minutes and gigabytes each: only where they are named (`edgekit compile`)."""

SMALLEST = ("mobilenet_edgetpu_v2_tiny", "resnet18", "squeezenet1_1", "efficientnet_lite0", "efficientnet_edgetpu_s")
SIMILAR = ("efficientnet_", "mobilenet_edgetpu_v2_", "resnet", "squeezenet")
QUICK = [name for name in RECIPES if name in {*SMALLEST, "efficientnet_b0"} or not name.startswith(SIMILAR)]
QUICK = [name for name in QUICK if name not in LARGE]
"""One recipe of those that differ in size only."""

TURNS = [(name, KNOWN_TARGETS[index % len(KNOWN_TARGETS)]) for index, name in enumerate(QUICK)]


def built(recipe, target, tmp_path):
    _, (one,) = build_artifacts(Plan.of(recipe, [target], photo_set()), lambda line: None, tmp_path / "log")
    assert one.failure is None, one.failure
    return one.artifact.manifest


@pytest.mark.parametrize(("name", "target"), TURNS)
def test_each_recipe_compiles_small_and_computes_what_pytorch_does(name, target, tmp_path):
    known = ARCHITECTURES[load_recipe(name).architecture]
    width = ("model.width=0.5",) if "width" in known.takes else ()
    small = (*width, f"model.resolution={2 * known.smallest}", "weights={random: 0}")
    manifest = built(load_recipe(name, small), target, tmp_path)
    assert manifest.parity.passed
    if manifest.delegation:
        assert manifest.delegation.complete, manifest.delegation


@pytest.mark.slow
@pytest.mark.parametrize("target", KNOWN_TARGETS)
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in LARGE])
def test_each_recipe_compiles_whole_for_every_target(name, target, tmp_path, v2_checkpoint, lite_checkpoints):
    manifest = built(load_recipe(name), target, tmp_path)
    assert manifest.contract == "met"
    if manifest.delegation:
        assert manifest.delegation.complete, manifest.delegation


def test_tensor_input_and_output_are_float32_in_the_runtimes_own_layout(tmp_path):
    small = load_recipe("v1", ("model.width=0.35", "model.resolution=64"))
    for target, layout, shape in (
        ("tflite/xnnpack/int8", "NHWC", (1, 64, 64, 3)),
        ("coreml/-/fp16", "NCHW", (1, 3, 64, 64)),
    ):
        manifest = built(small, target, tmp_path)
        assert [(spec.dtype, spec.layout, spec.shape) for spec in manifest.inputs] == [("float32", layout, shape)]
        assert [(spec.dtype, spec.shape) for spec in manifest.outputs] == [("float32", (1, 1000))]
