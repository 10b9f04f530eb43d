"""Each family through the converters at a small size, the targets taking turns; whole and all: `make support-matrix`."""

import pytest

from edgekit.architectures.registry import ARCHITECTURES
from edgekit.build.photos import photo_set
from edgekit.pipeline import Plan, build_artifacts
from edgekit.recipe.loading import known_recipes, load_recipe
from edgekit.recipe.schema import KNOWN_TARGETS

RECIPES = sorted(known_recipes())
FAMILIES = {ARCHITECTURES[load_recipe(name).architecture].module: name for name in reversed(RECIPES)}
"""Module of a paper -> one of its recipes."""
TURNS = {
    "tflite/xnnpack/fp32": ("efficientnet_b0", "lraspp_v2", "mobilenet_edgetpu"),
    "tflite/xnnpack/int8": ("resnet18", "ssd_v2_coco", "v2"),
    "executorch/xnnpack/fp32": ("squeezenet1_0",),
    "executorch/xnnpack/int8": ("ssd300_vgg16", "v1"),
    "coreml/-/fp16": (
        *("deeplabv3_v1", "googlenet", "inception_v3", "mnasnet_a1", "shufflenet_v1", "shufflenet_v2"),
        *("v3_large", "vgg16", "xception"),
    ),
}
"""The targets take turns; Core ML converts ten times as fast as ExecuTorch quantises, and gets the deep networks."""
SLOW = {"ssd300_vgg16"}  # it takes no small input
CELLS = [
    pytest.param(name, target, marks=pytest.mark.slow if name in SLOW else ())
    for target, names in TURNS.items()
    for name in names
]


def built(recipe, target, tmp_path):
    _, (one,) = build_artifacts(Plan.of(recipe, [target], photo_set()), lambda line: None, tmp_path / "log")
    assert one.failure is None, one.failure
    return one.artifact.manifest


def test_each_family_and_each_target_has_its_turn():
    assert sorted(name for names in TURNS.values() for name in names) == sorted(FAMILIES.values())
    assert set(TURNS) == set(KNOWN_TARGETS)


@pytest.mark.parametrize(("name", "target"), CELLS)
def test_each_family_compiles_small_and_computes_what_pytorch_does(name, target, tmp_path):
    recipe = load_recipe(name)
    known = ARCHITECTURES[recipe.architecture]
    resolution = min(2 * known.smallest, max(300, known.smallest))
    small = [f"model.resolution={resolution}", "weights={random: 0}"]
    small += ["model.width=0.5"] if "width" in known.takes else []
    small += ["model.depth=0.1"] if "depth" in known.takes else []  # every block of the table once
    small += ["model.input_width=96"] if recipe.model.input_width else []
    manifest = built(load_recipe(name, tuple(small)), target, tmp_path)
    assert manifest.parity.passed
    if manifest.delegation:
        assert manifest.delegation.complete, manifest.delegation


def test_tensor_input_and_output_are_float32_in_the_runtimes_own_layout(tmp_path):
    small = load_recipe("v1", ("model.width=0.25", "model.depth=0.1", "model.resolution=64"))
    for target, layout, shape in (
        ("tflite/xnnpack/int8", "NHWC", (1, 64, 64, 3)),
        ("coreml/-/fp16", "NCHW", (1, 3, 64, 64)),
    ):
        manifest = built(small, target, tmp_path)
        assert [(spec.dtype, spec.layout, spec.shape) for spec in manifest.inputs] == [("float32", layout, shape)]
        assert [(spec.dtype, spec.shape) for spec in manifest.outputs] == [("float32", (1, 1000))]
