"""ExecuTorch for Vulkan: compiled if it is asked for, and its file computed in torch. No GPU and no Vulkan runtime is here."""

import numpy as np
import pytest
import tiny
import torch
from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.dialects._ops import ops
from torch import nn

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import backend_of
from edgekit.backends.vulkan_program import Program
from edgekit.build.photos import photo_set
from edgekit.devices.profile import Tool, stored_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.evaluation.running import artifact_subject
from edgekit.evaluation.shards import predictor
from edgekit.pipeline.building import build_artifact
from edgekit.pipeline.plan import Plan, default_targets
from edgekit.pipeline.profiling import profile_operators
from edgekit.recipe.loading import load_recipe
from edgekit.target import KNOWN_TARGETS, Target

TARGET = Target("executorch", "vulkan", "fp32")
PHOTOS = Inputs.of_images(np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32))


class Small(nn.Module):
    """Convolutions with and without an activation that is fused, a concatenation, and a fully connected layer."""

    output_names = ("logits",)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.classes = nn.Linear(16, 5)

    def forward(self, images):
        first = self.first(images).relu()
        both = torch.cat([nn.functional.hardswish(self.second(first)), first], 1)
        return self.classes(both.mean((2, 3), keepdim=True).flatten(1))


class Sorting(Small):
    """A network with an operator that Vulkan does not have."""

    def forward(self, images):
        return super().forward(images).sort(-1).values


@pytest.fixture(scope="module")
def small():
    return Small().eval()


def lowered(model, *partitioners):
    exported = torch.export.export(model, PHOTOS[:1].tensors())
    return to_edge_transform_and_lower(exported, partitioner=list(partitioners)).to_executorch().buffer


@pytest.fixture(scope="module")
def content(small):
    return lowered(small, VulkanPartitioner())


def run(content):
    with torch.no_grad():
        return Program(content).run(PHOTOS[:1])[0]


def test_the_files_own_program_is_computed(small, content, tmp_path):
    with torch.no_grad():
        expected = small(*PHOTOS.tensors()).numpy()
    (tmp_path / "model.pte").write_bytes(content)
    (outputs,) = backend_of(TARGET).execute(tmp_path / "model.pte", PHOTOS)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_a_changed_weight_in_the_file_changes_what_is_computed(small, content):
    weight = small.second.weight.detach().numpy().tobytes()
    assert content.count(weight) == 1
    changed = content.replace(weight, (-small.second.weight.detach().numpy()).tobytes())
    assert abs(run(changed) - run(content)).max() > 1e-2


def test_a_shape_that_the_file_states_and_torch_does_not_compute_is_found(content):
    program = Program(content)
    (graph,) = program.graphs
    graph.described.values[graph.described.chain[0].args[-1]].value.dims[1] += 1
    with pytest.raises(EdgekitError, match="the file states"):
        program.run(PHOTOS[:1])


def test_a_program_of_half_precision_is_none_of_fp32(small):
    with pytest.raises(EdgekitError, match="it computes in float16, and its target is fp32"):
        run(lowered(small, VulkanPartitioner({"force_fp16": True})))


@pytest.mark.parametrize(
    ("partitioners", "said"),
    [
        ((), "operators are outside: .*aten::convolution"),
        (
            (VulkanPartitioner(operator_blocklist=[ops.edge.aten.convolution.default]), XnnpackPartitioner()),
            "a part is XnnpackBackend's",
        ),
    ],
    ids=["no delegate", "Vulkan's and XNNPACK's"],
)
def test_a_file_that_vulkan_computes_in_part_or_not_is_refused(small, partitioners, said):
    with pytest.raises(EdgekitError, match=said) as raised:
        Program(lowered(small, *partitioners))
    assert raised.value.failure.kind == FailureKind.unsupported_operator


def test_a_file_that_cannot_be_read_is_a_failure(content):
    with pytest.raises(EdgekitError, match="its file cannot be read"):
        Program(content[:200] + bytes(2000))


def test_a_network_with_an_operator_that_vulkan_lacks_is_not_compiled(tmp_path):
    with pytest.raises(EdgekitError, match="does not take the whole network: operators are outside: aten::sort"):
        backend_of(TARGET).compile(Sorting().eval(), TARGET, PHOTOS, tmp_path / "model.pte")
    assert not (tmp_path / "model.pte").exists()


@pytest.fixture
def recipe():
    return load_recipe(tiny.RECIPE, tiny.SETTINGS)


def test_a_recipes_parity_is_derived_and_its_delegation_known(recipe, cache, tmp_path):
    _, artifact = build_artifact(Plan.of(recipe, ["vulkan"], photo_set()), lambda line: None, tmp_path)
    manifest = artifact.manifest
    assert (manifest.target, manifest.parity.kind, manifest.parity.passed) == (str(TARGET), "derived", True)
    assert manifest.parity.snr_db > 90
    assert (manifest.delegation.partitions, manifest.delegation.complete) == (1, True)


def test_an_evaluation_computes_it_as_parity_does_and_says_derived(recipe, cache, tmp_path):
    prepared, artifact = build_artifact(Plan.of(recipe, ["vulkan"], photo_set()), lambda line: None, tmp_path)
    subject = artifact_subject(artifact)
    assert subject.kind == "derived"
    predict, _ = predictor(recipe, subject.job)
    inputs = Inputs.load(prepared.folder / "parity.npz")[:2]
    (images,) = inputs.arrays.values()
    (outputs,) = predict(images).values()
    np.testing.assert_array_equal(outputs, backend_of(TARGET).execute(artifact.path, inputs)[0])


def test_it_is_no_default_unless_a_devices_tool_loads_it(recipe):
    assert str(TARGET) not in KNOWN_TARGETS
    for asked, expected in (
        (["vulkan"], [str(TARGET)]),
        (["executorch"], ["executorch/xnnpack/fp32", "executorch/xnnpack/int8"]),
    ):
        assert [str(target) for target in Plan.of(recipe, asked, photo_set()).targets] == expected
    keys = {"name": "phone", "kind": "android", "runs": ("executorch",)}
    tool = {"kind": "executor_runner", "backend": "executorch", "program": "/e"}
    theirs = stored_profile({**keys, "tools": {"theirs": Tool(**tool)}})
    vulkan = stored_profile({**keys, "tools": {"vulkan": Tool(**tool, delegate="vulkan")}})
    assert default_targets(recipe, [theirs]) == recipe.targets
    assert default_targets(recipe, [vulkan]) == (*recipe.targets, str(TARGET))


def test_edgekits_own_runner_never_times_it(recipe):
    phone = stored_profile({"name": "phone", "kind": "android", "runs": ("executorch",)})
    assert phone.timings(TARGET) == {}
    assert phone.why_not(TARGET) == "the runner of phone for executorch times xnnpack, not vulkan"
    with pytest.raises(ValueError, match="the runner for executorch times xnnpack, not vulkan"):
        stored_profile({"name": "phone", "kind": "android", "runs": ("executorch/vulkan",)})
    plan = Plan.of(recipe, ["vulkan"], photo_set())
    with pytest.raises(UsageError, match="on XNNPACK, not executorch/vulkan/fp32"):
        profile_operators(plan, phone, lambda line: None)
