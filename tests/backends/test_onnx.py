"""ONNX: compiled if it is asked for, within parity in ONNX Runtime, and among no defaults."""

from importlib.metadata import PackageNotFoundError

import onnx
import pytest
import tiny

from edgekit.build import compile as compiling
from edgekit.build.photos import photo_set
from edgekit.devices.profile import Tool, stored_profile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.pipeline.building import build_artifact
from edgekit.pipeline.plan import Plan, Sweep, default_targets
from edgekit.recipe.loading import load_recipe
from edgekit.recipe.schema import Recipe
from edgekit.target import KNOWN_TARGETS, Target

TARGET = "onnx/-/fp32"


@pytest.fixture
def recipe():
    return load_recipe(tiny.RECIPE, tiny.SETTINGS)


def with_targets(recipe, *targets):
    return Recipe.model_validate({**recipe.model_dump(), "targets": targets})


def test_it_is_compiled_under_the_models_names_and_with_static_shapes(recipe, cache, tmp_path):
    _, artifact = build_artifact(Plan.of(recipe, [TARGET], photo_set()), lambda line: None, tmp_path)
    manifest = artifact.manifest
    assert (manifest.parity.kind, manifest.parity.passed, manifest.delegation) == ("measured", True, None)
    assert set(manifest.tools) == {"onnx", "onnxruntime", "onnxscript", "torch"}
    graph = onnx.load(artifact.path).graph
    for specs, values in ((manifest.inputs, graph.input), (manifest.outputs, graph.output)):
        shapes = {value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim) for value in values}
        assert shapes == {spec.name: spec.shape for spec in specs}
        assert {spec.dtype for spec in specs} == {"float32"}
    assert [file.name for file in artifact.folder.glob("model*")] == ["model.onnx"]  # its weights are inside


def test_no_recipe_has_it_by_default_and_no_part_of_a_target_stands_for_it(recipe):
    assert TARGET not in KNOWN_TARGETS
    assert TARGET not in recipe.targets
    only_int8 = with_targets(recipe, "tflite/xnnpack/int8")
    for asked, expected in (
        (["fp32"], ["executorch/xnnpack/fp32", "tflite/xnnpack/fp32"]),
        (["onnx"], [TARGET]),
        ([TARGET], [TARGET]),
    ):
        assert sorted(map(str, Plan.of(only_int8, asked, photo_set()).targets)) == expected
    assert TARGET in with_targets(recipe, TARGET).targets


def test_without_its_packages_one_sentence_names_the_command(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(compiling, "version", version)
    with pytest.raises(EdgekitError, match="needs the package onnx, which is not installed") as raised:
        compiling.tool_versions(Target.parse(TARGET))
    assert raised.value.failure.kind == FailureKind.missing_extra
    assert raised.value.failure.hint == "pip install 'edgekit[onnx]'"


def test_a_devices_tool_adds_it_to_the_defaults(recipe):
    keys = {"name": "orin", "kind": "linux", "runs": ("tflite",)}
    plain = stored_profile(keys)
    tool = Tool(kind="trtexec", backend="onnx", device_program="/usr/src/tensorrt/bin/trtexec")
    jetson = stored_profile({**keys, "tools": {"tensorrt": tool}})
    assert default_targets(recipe, [plain]) == recipe.targets
    assert default_targets(recipe, [plain, jetson]) == (*recipe.targets, TARGET)
    (plan,) = Sweep.of([recipe], [], [jetson], None, photo_set(), None).plans
    assert Target.parse(TARGET) in plan.targets
    (plan,) = Sweep.of([recipe], ["int8"], [jetson], None, photo_set(), None).plans
    assert Target.parse(TARGET) not in plan.targets
