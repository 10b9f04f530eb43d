"""Several outputs: named by what they are, never by where they stand."""

import numpy as np
import pytest

from edgekit.backends.base import TensorSpec, by_name
from edgekit.backends.tflite import name_outputs
from edgekit.build.parity import agreement, compare
from edgekit.build.photos import photo_set
from edgekit.errors import EdgekitError
from edgekit.pipeline import Plan, build_artifacts
from edgekit.recipe.limits import ParityLimits
from edgekit.recipe.loading import load_recipe
from edgekit.recipe.schema import KNOWN_TARGETS
from edgekit.runners import split_outputs

SHAPES = {"class_logits": (1, 10, 3), "box_codes": (1, 10, 4)}
RANDOM = np.random.default_rng(0)


def detail(index, shape):
    return {
        "index": index,
        "name": "StatefulPartitionedCall:0",
        "shape": shape,
        "dtype": np.float32,
        "quantization": (0, 0),
    }


def test_a_file_that_lists_outputs_in_another_order_is_read_by_its_signature():
    file = [detail(7, (1, 10, 4)), detail(3, (1, 10, 3))]
    signature = {"output_0": {"index": 3}, "output_1": {"index": 7}}
    specs = name_outputs(file, signature, SHAPES)
    assert [(spec.name, spec.shape) for spec in specs] == [("box_codes", (1, 10, 4)), ("class_logits", (1, 10, 3))]


def test_an_output_of_another_shape_is_an_error():
    file, signature = (
        [detail(7, (1, 10, 4)), detail(3, (1, 10, 3))],
        {"output_0": {"index": 7}, "output_1": {"index": 3}},
    )
    with pytest.raises(EdgekitError, match=r"class_logits the shape \(1, 10, 4\), not \(1, 10, 3\)"):
        name_outputs(file, signature, SHAPES)


def test_outputs_come_back_in_the_models_layout():
    specs = [TensorSpec(name="logits", shape=(1, 4, 5, 3), layout="NHWC")]
    pixels = RANDOM.normal(size=(2, 4, 5, 3)).astype(np.float32)
    assert np.array_equal(by_name(specs, (pixels,))["logits"], pixels.transpose(0, 3, 1, 2))


def test_a_runners_file_is_image_after_image_output_after_output():
    first, second = np.arange(12.0).reshape(2, 2, 3), 100 + np.arange(4.0).reshape(2, 2)
    file = np.concatenate([np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(first, second, strict=True)])
    back = split_outputs(file.astype(np.float32), 2, [[1, 2, 3], [1, 2]])
    assert np.array_equal(back[0], first)
    assert np.array_equal(back[1], second)


def judge(reference, artifact, precision="fp32"):
    return compare(reference, artifact, precision, ParityLimits(), kind="measured", trained=True)


def test_the_worst_output_counts():
    reference = {name: RANDOM.normal(size=(8, *shape[1:])).astype(np.float32) for name, shape in SHAPES.items()}
    noisy = {**reference, "box_codes": reference["box_codes"] + np.float32(0.01)}
    result = judge(reference, noisy)
    assert not result.passed
    assert result.max_absolute == pytest.approx(0.01, rel=1e-3)
    assert result.top1_agreement == 1
    assert judge(reference, dict(reversed(reference.items()))).passed


def test_top1_is_per_anchor_and_per_pixel():
    for name, shape, axis in (("class_logits", (2, 50, 3), 2), ("logits", (2, 3, 5, 10), 1), ("logits", (2, 3), 1)):
        reference = RANDOM.normal(size=shape).astype(np.float32)
        result = judge({name: reference}, {name: np.roll(reference, 1, axis)})
        assert result.decisions == reference.size // 3
        assert result.top1_agreement == 0


def test_agreement_is_a_count_of_photos_or_a_percentage():
    assert agreement(15 / 16, 16, 16) == agreement(15 / 16, 16, None) == "15/16"
    assert agreement(0.9981, 16, 32544) == "99.8 %"


DETECTOR = ("ssdlite_v3_small", ("resolution=64", "input_width=96"), {"class_logits", "box_codes"})
SEGMENTER = ("lraspp_v3_small", ("resolution=64", "input_width=96"), {"logits"})
FAST = {("ssdlite_v3_small", "tflite/xnnpack/fp32"), ("lraspp_v3_small", "coreml/-/fp16")}
RECTANGLES = [
    pytest.param(*case, target, marks=() if (case[0], target) in FAST else pytest.mark.slow)
    for case in (DETECTOR, SEGMENTER)
    for target in KNOWN_TARGETS
]


@pytest.mark.parametrize(("name", "size", "outputs", "target"), RECTANGLES)
def test_each_target_compiles_a_rectangular_detector_and_segmenter(name, size, outputs, target, tmp_path):
    settings = [f"model.{one}" for one in ("width=0.35", *size)]
    plan = Plan.of(load_recipe(name, tuple(settings)), [target], photo_set())
    _, (one,) = build_artifacts(plan, lambda line: None, tmp_path / "log")
    assert one.failure is None, one.failure
    manifest = one.artifact.manifest
    assert {spec.name for spec in manifest.outputs} == outputs
    assert manifest.parity.decisions > manifest.parity.photos
    assert "64x96" in manifest.variant
    if manifest.delegation:
        assert manifest.delegation.complete, manifest.delegation
