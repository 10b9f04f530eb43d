"""Exported artifacts: the bytes that were verified, and a description that is enough to use them."""

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tiny
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner
from PIL import Image

from edgekit.backends.base import Artifact
from edgekit.build.photos import open_photo, photo_set, preprocess
from edgekit.cache.store import content_sha256
from edgekit.cli import cli
from edgekit.errors import EdgekitError, ExitCode, Failure, FailureKind, UsageError
from edgekit.exporting import export, export_run, file_name, place
from edgekit.ledger import Ledger
from edgekit.pipeline import Plan, build_artifact
from edgekit.recipe.loading import load_recipe
from edgekit.schemas import committed


def plan_of(target, *settings):
    return Plan.of(load_recipe(tiny.RECIPE, (*tiny.SETTINGS, *settings)), [target], photo_set())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export(plan_of("tflite/xnnpack/int8"), tmp_path_factory.mktemp("export") / "new" / "tiny.tflite", print)


def test_file_and_description_stand_side_by_side(exported):
    written = json.loads(exported.description.read_text(encoding="utf-8"))
    jsonschema.validate(written, json.loads(committed("export").read_text(encoding="utf-8")))
    assert exported.description.name == "tiny.tflite.json"
    assert sorted(path.name for path in exported.path.parent.iterdir()) == ["tiny.tflite", "tiny.tflite.json"]
    assert written["sha256"] == content_sha256(exported.path)
    assert written["size_bytes"] == exported.path.stat().st_size
    assert not written["trained"]
    assert written["labels"][:2] == ["tench", "goldfish"]


def test_the_description_is_enough_to_use_the_file(exported):
    """An app's own preprocessing, by nothing but the description, gives what edgekit's gives."""
    known = json.loads(exported.description.read_text(encoding="utf-8"))
    how, height, width = known["preprocessing"], known["input_height"], known["input_width"]
    photo = photo_set().paths[0]
    image = Image.open(photo).convert(known["channels"])
    assert (how["fit"], how["interpolation"]) == ("crop", "bilinear")
    scale = round(height / how["crop_fraction"]) / min(image.size)
    image = image.resize([int(side * scale + 1e-6) for side in image.size], Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    pixels = np.asarray(image.crop((left, top, left + width, top + height)), np.float32)
    given = ((pixels / 255 - np.float32(how["mean"])) / np.float32(how["std"]))[None]
    (input,) = known["inputs"]
    assert list(given.shape) == input["shape"]

    def run(values):
        interpreter = Interpreter(str(exported.path))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]

    recipe = load_recipe(tiny.RECIPE, tiny.SETTINGS)
    own = preprocess(open_photo(photo), recipe.preprocessing, recipe.model.size).transpose(1, 2, 0)[None].copy()
    difference = run(given) - run(own)
    assert np.square(difference).mean() < 1e-3 * np.square(run(own)).mean()
    assert run(given).shape == tuple(known["outputs"][0]["shape"][1:])


def test_a_package_is_copied_whole_and_replaced(tmp_path):
    output = tmp_path / "tiny.mlpackage"
    for _ in range(2):
        found = export(plan_of("coreml/-/fp16"), output, print)
    assert content_sha256(output) == found.document.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.mlpackage", "tiny.mlpackage.json"]


def test_a_name_of_another_format_is_an_error_before_anything_is_built(tmp_path):
    with pytest.raises(UsageError, match=r"does not end in \.tflite") as caught:
        export(plan_of("tflite/xnnpack/fp32"), tmp_path / "v1.pte", pytest.fail)
    assert caught.value.failure.hint == f"Write {tmp_path / 'v1.tflite'}."


@pytest.mark.parametrize(("name", "hint"), [(".", "NAME.tflite"), ("/", "/NAME.tflite"), ("..", "../NAME.tflite")])
def test_a_folder_instead_of_a_file_is_an_error_before_anything_is_built(name, hint):
    with pytest.raises(UsageError, match=r"does not end in \.tflite") as caught:
        export(plan_of("tflite/xnnpack/fp32"), Path(name), pytest.fail)
    assert caught.value.failure.hint == f"Write {hint}."


def test_an_artifact_that_left_the_cache_is_not_called_an_unwritable_output(tmp_path):
    plan = plan_of("tflite/xnnpack/int8")
    _, artifact = build_artifact(plan, print, tmp_path / "logs")
    gone = Artifact(tmp_path / "gone", artifact.manifest)
    with pytest.raises(EdgekitError, match="The cache no longer holds") as caught:
        place(gone, plan.recipe, tmp_path / "out" / "tiny.tflite")
    assert "again" in caught.value.failure.hint


def test_a_package_that_cannot_be_copied_says_why(tmp_path, monkeypatch):
    plan = plan_of("coreml/-/fp16")
    _, artifact = build_artifact(plan, print, tmp_path / "logs")

    def full(source, destination):
        raise shutil.Error([(str(source), str(destination), "[Errno 28] No space left on device")])

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(UsageError, match="No space left on device"):
        place(artifact, plan.recipe, tmp_path / "out" / "tiny.mlpackage")


def test_a_failure_that_a_later_try_settled_is_not_left_out(tmp_path):
    """A folder of a resumed run holds what passed in the end."""
    arguments = ["compile", *tiny.OPTIONS, "--targets", "tflite/xnnpack/int8"]
    arguments += ["--ledger", f"sqlite:///{tmp_path}/ledger.sqlite"]
    assert CliRunner().invoke(cli, arguments, standalone_mode=False).return_value == ExitCode.done
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        (artifact,) = ledger.artifacts()
        failure = Failure(FailureKind.timed_out, "parity", "It took too long.", retriable=True)
        names = {"recipe": artifact.recipe, "variant": artifact.variant, "target": artifact.target, "device": None}
        ledger.record_failure(artifact.run_id, failure, **names, artifact_sha256=artifact.sha256)
        assert export_run(ledger, artifact.run_id, tmp_path / "failed") == []
        ledger.record_artifact(artifact.run_id, artifact.manifest)
        (found,) = export_run(ledger, artifact.run_id, tmp_path / "settled")
    assert found.document.sha256 == artifact.sha256


def test_a_folder_of_that_name_is_left_alone(tmp_path):
    (tmp_path / "tiny.tflite").mkdir()
    with pytest.raises(UsageError, match=r"tiny\.tflite is a folder"):
        export(plan_of("tflite/xnnpack/int8"), tmp_path / "tiny.tflite", print)


def test_bytes_that_were_not_verified_are_not_exported(tmp_path):
    plan = plan_of("tflite/xnnpack/int8")
    _, artifact = build_artifact(plan, print, tmp_path / "logs")
    changed = Artifact(tmp_path, artifact.manifest)
    Path(changed.path).write_bytes(artifact.path.read_bytes()[:-1] + b"x")
    with pytest.raises(EdgekitError, match="were verified"):
        place(changed, plan.recipe, tmp_path / "out" / "tiny.tflite")
    assert not list((tmp_path / "out").iterdir())


def test_what_differs_from_pytorch_is_not_exported(tmp_path):
    wrong = plan_of("tflite/xnnpack/fp32", "parity.fp32.max_absolute=1e-12")
    with pytest.raises(EdgekitError, match="does not compute what PyTorch computes"):
        export(wrong, tmp_path / "tiny.tflite", print)
    assert not list(tmp_path.iterdir())


def test_a_compilation_copies_what_passed_into_a_folder(tmp_path):
    arguments = ["compile", *tiny.OPTIONS, "--targets", "tflite/xnnpack/fp32,tflite/xnnpack/int8"]
    arguments += ["--set", "parity.fp32.max_absolute=1e-12", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(
        cli, [*arguments, "--ledger", f"sqlite:///{tmp_path}/ledger.sqlite"], standalone_mode=False
    )
    assert done.return_value == ExitCode.failure
    recipe = load_recipe(tiny.RECIPE, tiny.SETTINGS)
    _, artifact = build_artifact(Plan.of(recipe, ["tflite/xnnpack/int8"], photo_set()), print, tmp_path / "logs")
    name = file_name(artifact.manifest)
    assert name == "v1_0.25_64_depth_0.1_tflite_xnnpack_int8.tflite"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [name, f"{name}.json"]
