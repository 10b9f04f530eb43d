"""The outputs of a device beside PyTorch's, for several photos: an artifact that is wrong for one of them is caught."""

import json

import numpy as np
import pytest
import tiny

from edgekit.build.photos import photo_set
from edgekit.devices import host
from edgekit.errors import EdgekitError, FailureKind
from edgekit.pipeline import Plan, build_artifacts
from edgekit.pipeline.outputs import PHOTOS, check_outputs, compared_photos, references
from edgekit.recipe.loading import load_recipe
from edgekit.runners import PYTHON_RUNNER, infer

TARGETS = ("tflite/xnnpack/fp32", "tflite/xnnpack/int8")
WRONG = """
import runpy, sys
import numpy as np
runner, place, count = {runner!r}, {place}, {count}
sys.argv[0] = runner
try:
    runpy.run_path(runner, run_name="__main__")
finally:
    if "--output" in sys.argv:
        path = sys.argv[sys.argv.index("--output") + 1]
        values = np.fromfile(path, np.float32).reshape(-1, count)
        if len(values) > place:
            values[place] = values[place][::-1]
        values.tofile(path)
"""


@pytest.fixture(scope="module", params=TARGETS)
def computed(request, tmp_path_factory):
    """An artifact, its prepared model, and what it computes for the photos that are compared on devices."""
    plan = Plan.of(load_recipe(*tiny.TINY), [request.param], photo_set())
    prepared, (built,) = build_artifacts(plan, lambda line: None, tmp_path_factory.mktemp("logs"))
    photos = compared_photos(prepared)
    images = np.load(prepared.folder / "parity.npz")["image"][photos].transpose(0, 2, 3, 1)
    (outputs,) = infer(built.artifact.path, [images])
    return plan.recipe.parity, prepared, built.artifact.manifest, outputs


def checked(computed, outputs):
    limits, prepared, manifest, _ = computed
    return check_outputs(
        outputs.ravel(), references(prepared, compared_photos(prepared)), manifest, limits, ("it", "here")
    )


def test_eight_photos_of_as_many_classes_as_there_are_begin_with_the_first(computed):
    _, prepared, _, _ = computed
    photos = compared_photos(prepared)
    assert len(set(photos)) == PHOTOS
    assert photos[0] == 0
    with np.load(prepared.folder / "reference.npz") as saved:
        classes = saved["logits"].argmax(axis=1)
    assert len(set(classes[photos])) == min(PHOTOS, len(set(classes)))


def test_photos_of_new_classes_come_first(tmp_path):
    logits = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 0, 2, 1, 3, 0, 0, 0, 0, 0]]
    np.savez(tmp_path / "reference.npz", logits=logits)
    prepared = type("Prepared", (), {"folder": tmp_path})
    assert compared_photos(prepared) == [0, 3, 5, 7, 1, 2, 4, 6]


def test_an_artifact_that_is_right_is_within_the_limits(computed):
    found = checked(computed, computed[-1])
    assert found["photos"] == PHOTOS
    assert found["worst_photo_snr_db"] <= found["snr_db"] + 3


@pytest.mark.parametrize("place", [0, 4, 7])
@pytest.mark.parametrize("wrong", [lambda right: 0 * right, lambda right: -right, lambda right: right[::-1]])
def test_one_wrong_photo_among_eight_is_caught(computed, place, wrong):
    outputs = computed[-1].copy()
    outputs[place] = wrong(outputs[place])
    with pytest.raises(EdgekitError, match="something else") as raised:
        checked(computed, outputs)
    assert raised.value.failure.kind is FailureKind.parity


def test_outputs_of_too_few_photos_are_refused(computed):
    with pytest.raises(EdgekitError, match="instead of"):
        checked(computed, computed[-1][:-1])


@pytest.mark.parametrize(("place", "fails"), [(4, True), (PHOTOS, False)])
def test_a_runtime_that_is_wrong_on_one_photo_fails_the_cell(place, fails, edgekit, tmp_path, monkeypatch):
    script = tmp_path / "runner.py"
    script.write_text(WRONG.format(runner=str(PYTHON_RUNNER), place=place, count=1000))
    monkeypatch.setattr(host, "PYTHON_RUNNER", script)
    command = ("deploy", *tiny.OPTIONS, "--device", "host", "--protocol", "emulated", "--json", "--targets", TARGETS[0])
    document = json.loads(edgekit(*command).stdout)
    assert [failure["kind"] for failure in document["failures"]] == (["parity"] if fails else [])
    assert len(document["measurements"]) == (not fails)
