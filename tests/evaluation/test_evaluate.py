"""The whole command with the tests' tiny network, whose own answers are the labels."""

import csv
import io
import json
import re
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
import tiny
from PIL import Image

from edgekit.build.photos import photo_set
from edgekit.devices.base import opened
from edgekit.devices.profile import load_profile, stored_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.evaluation import evaluate as evaluation
from edgekit.evaluation import running
from edgekit.evaluation.evaluate import Request, evaluate
from edgekit.evaluation.formats import load_dataset
from edgekit.recipe.loading import load_recipe
from edgekit.report.rows import rows_of
from edgekit.report.tables import csv as csv_of
from edgekit.report.tables import markdown
from edgekit.schemas import committed

FP32, INT8 = "tflite/xnnpack/fp32", "tflite/xnnpack/int8"
PHOTOS = 12


@pytest.fixture(scope="session")
def recipe(cache):
    return load_recipe(tiny.RECIPE, tiny.SETTINGS)


@pytest.fixture
def photos(tmp_path):
    """Photos of blobs in a CSV file, all labelled 0."""
    random = np.random.default_rng(0)
    rows = ["file,label"]
    for index in range(PHOTOS):
        blobs = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blobs).resize((120, 90)).save(tmp_path / f"{index:02}.jpg", quality=95)
        rows.append(f"{index:02}.jpg,0")
    (tmp_path / "blobs.csv").write_text("\n".join(rows))
    return tmp_path / "blobs.csv"


@pytest.fixture
def labelled(photos, recipe, ledger):
    """The same with the classes that PyTorch finds."""
    request = request_of(recipe, photos, against="none")
    ready = {}
    with evaluation.begun(ledger, "compile", {}, {}, 0, print) as run:
        ready = evaluation._built(run, request.plan)
        subject = running.pytorch_subject(ready[FP32].prepared)
        hashes = [str(index) for index in range(PHOTOS)]
        task = running.Task(recipe, request.dataset, hashes, 2)
        answers = [one for shard in running.run_on_host(task, subject, print, run.logs) for one in shard.answers]
    rows = [f"{index:02}.jpg,{answer[0]}" for index, answer in enumerate(answers)]
    photos.write_text("\n".join(["file,label", *rows]))
    return photos


def request_of(recipe, data, target=FP32, limit=None, **more):
    dataset = load_dataset(data)
    sample = dataset.sample(limit, 0)
    return Request(recipe, target, sample, len(dataset.examples), 0, 2, photo_set(), **more)


def test_the_artifact_and_pytorch_are_judged_on_the_same_photos_and_recorded(labelled, recipe, ledger):
    told = []
    document = evaluate(request_of(recipe, labelled), ledger, told.append)
    this, reference = document.results
    assert (this.target, reference.target) == (FP32, "pytorch")
    assert this.metrics["top1"].value == reference.metrics["top1"].value == 100
    assert this.comparison.agreement.value == 100
    assert (this.comparison.p, this.comparison.difference.value) == (1, 0)
    assert document.complete
    (artifact,) = ledger.artifacts(document.run)
    own, other = sorted(ledger.accuracies(document.run), key=lambda one: one.target == "pytorch")
    assert own.artifact_sha256 == artifact.sha256 == this.artifact_sha256 != other.artifact_sha256
    assert own.subset_sha256 == other.subset_sha256 == document.data.subset_sha256
    again = evaluate(request_of(recipe, labelled), ledger, told.append)
    assert again.results == document.results
    assert told[-1].endswith("12 of 12 photos from the cache")
    assert told[-2].endswith("12 of 12 photos from the cache")


def test_wrong_labels_are_wrong_answers_and_int8_is_compared_with_fp32(labelled, recipe, ledger):
    lines = labelled.read_text().splitlines()
    wrong = [line if index % 2 else line.rpartition(",")[0] + ",999" for index, line in enumerate(lines[1:])]
    labelled.write_text("\n".join(wrong))
    document = evaluate(request_of(recipe, labelled, INT8, against=FP32), ledger, print)
    int8, fp32 = document.results
    assert fp32.metrics["top1"].value == pytest.approx(50)
    assert int8.comparison.against == FP32
    assert int8.comparison.against_sha256 == fp32.artifact_sha256
    expected = int8.metrics["top1"].value - fp32.metrics["top1"].value
    assert int8.comparison.difference.value == pytest.approx(expected)


def test_the_accuracy_is_in_the_row_of_that_artifact_only(labelled, recipe, ledger):
    document = evaluate(request_of(recipe, labelled, against="none"), ledger, print)
    other = evaluate(request_of(recipe, labelled, INT8, against="none", limit=5), ledger, print)
    rows = {row.target: row for row in rows_of(ledger)}
    assert rows[FP32].accuracy.artifact_sha256 == document.results[0].artifact_sha256
    assert rows[INT8].accuracy.artifact_sha256 == other.results[0].artifact_sha256
    assert rows[INT8].accuracy.n == 5
    text = markdown(list(rows.values()))
    (line,) = [line for line in text.splitlines() if FP32 in line and line.startswith("|")]
    assert "| 100.0 [75.8, 100.0]        |       12 | blobs      |" in line
    assert "top-1 of different photos does not compare" in text
    table = {row["target"]: row for row in csv.DictReader(io.StringIO(csv_of(list(rows.values()))))}
    assert float(table[FP32]["top1_this_artifact"]) == 100
    assert table[FP32]["accuracy_subset_sha256"] == document.data.subset_sha256
    changed = {**rows[FP32].manifest, "sha256": "0" * 64, "recipe_hash": "another"}
    ledger.record_artifact(document.run, changed)  # another build of the same target
    newest = max(ledger.artifacts(), key=lambda one: one.recorded_at)
    assert newest.sha256 == "0" * 64
    assert {row.target: row for row in rows_of(ledger)}[FP32].accuracy is None


def test_a_photo_that_cannot_be_read_is_named_and_does_not_count(edgekit, labelled):
    (labelled.parent / "03.jpg").write_bytes(b"no photo")
    (labelled.parent / "07.jpg").unlink()
    done = edgekit("evaluate", *tiny.OPTIONS, "--target", FP32, "--data", labelled, "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(committed("evaluate").read_text()))
    assert document["complete"] is False
    (this, reference) = document["results"]
    assert this["n"] == reference["n"] == PHOTOS - 2
    assert sorted(name.rpartition("/")[2] for name in this["failed"]) == ["03.jpg", "07.jpg"]
    table = edgekit("evaluate", *tiny.OPTIONS, "--target", FP32, "--data", labelled)
    assert table.returncode == 1
    assert "10 of 12" in table.stdout
    assert "03.jpg is not a photo that can be read" in " ".join(table.stdout.split())
    assert "csv, 12 photos" in table.stderr


def test_no_photo_at_all_is_an_error(labelled, recipe, ledger):
    for photo in labelled.parent.glob("*.jpg"):
        photo.unlink()
    with pytest.raises(EdgekitError, match="None of the 12 photos could be read"):
        evaluate(request_of(recipe, labelled), ledger, print)
    assert [one.failure.kind for one in ledger.failures()] == [FailureKind.usage]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "imagenet"), "read as imagenet, holds no labelled photo"),
        (("--format", "masks"), "read as masks, holds no labelled photo"),
        (("--target", "tflite/xnnpack/int7"), "No backend compiles"),
        (("--against", "tflite/xnnpack/int7"), "No backend compiles"),
        (("--against", FP32), "compared with itself"),
        (("--images", "."), "--images is for COCO's JSON"),
    ],
)
def test_what_cannot_be_is_wrong_usage(edgekit, photos, options, said):
    own = options if "--target" in options else ("--target", FP32, *options)
    where = photos.parent if "--format" in options else photos
    done = edgekit("evaluate", *tiny.OPTIONS, *own, "--data", where)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_data_set_for_another_task_is_refused(recipe, tmp_path, ledger):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    Image.new("P", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"made for classification, and .* read as masks, for segmentation"):
        evaluate(request_of(recipe, tmp_path), ledger, print)
    assert ledger.runs() == []


def test_classes_that_the_model_does_not_have_are_refused_before_a_run(recipe, photos, ledger):
    photos.write_text("00.jpg,unicorn\n01.jpg,tench\n")
    with pytest.raises(UsageError, match="1 of the data set's 2 classes are not classes of v1: unicorn"):
        evaluate(request_of(recipe, photos), ledger, print)
    assert ledger.runs() == []


def test_an_interrupted_evaluation_goes_on_where_it_was(labelled, recipe, ledger, monkeypatch):
    monkeypatch.setattr(running, "LEAST", 3)
    told, calls = [], []
    call = running.Workers.call

    def counted(*arguments, **more):
        calls.append(arguments[1].photos)
        return call(*arguments, **more)

    def interrupting(line):
        told.append(line)
        if "photos [2/4" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(running.Workers, "call", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(request_of(recipe, labelled, against="none"), ledger, interrupting)
    assert ledger.runs()[0].status == "interrupted"
    calls.clear()
    document = evaluate(request_of(recipe, labelled, against="none"), ledger, told.append)
    assert 1 <= len(calls) <= 2
    assert document.results[0].metrics["top1"].value == 100


def test_after_kill_9_it_goes_on_where_it_was(edgekit, labelled):
    rows = labelled.read_text().splitlines()[1:]
    labelled.write_text("\n".join(rows * 12))  # 144 photos are 6 shards
    command = ("evaluate", *tiny.OPTIONS, "--target", FP32, "--against", "none", "--data", str(labelled))
    with subprocess.Popen([sys.executable, "-m", "edgekit", *command], stderr=subprocess.PIPE, text=True) as process:
        assert any("of 144 photos [1/6" in line for line in process.stderr)
        process.kill()
    again = edgekit(*command)
    assert again.returncode == 0
    assert "(evaluate) was interrupted" in again.stderr
    assert re.search(r"(25|50|75|100) of 144 photos from the cache", again.stderr)
    assert "144 of 144" in again.stdout


def test_a_damaged_shard_is_done_again(labelled, recipe, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "cache_folder", lambda: tmp_path / "cache")
    first = evaluate(request_of(recipe, labelled, against="none"), ledger, print)
    (shard,) = (tmp_path / "cache/evaluations").glob("*/00000.json")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:20])
    assert evaluate(request_of(recipe, labelled, against="none"), ledger, print).results == first.results
    assert shard.read_bytes() == whole


def test_a_process_that_fails_is_a_failure_of_this_target(labelled, recipe, ledger, monkeypatch):
    def broken(*arguments, **more):
        raise EdgekitError(FailureKind.crashed, "evaluate", "It crashed.")

    real = running.run_on_host
    monkeypatch.setattr(evaluation, "run_on_host", lambda *arguments: broken() if arguments else real)
    with pytest.raises(EdgekitError, match="It crashed"):
        evaluate(request_of(recipe, labelled), ledger, print)
    (failure,) = ledger.failures()
    assert (failure.recipe, failure.target, failure.failure.kind) == ("v1", FP32, FailureKind.crashed)
    assert ledger.runs()[0].status == "failed"


def test_a_device_runs_the_same_photos_in_its_own_runner(labelled, recipe, ledger, monkeypatch):
    from edgekit.evaluation import on_device

    monkeypatch.setattr(on_device, "MOST_PHOTOS", 5)
    (labelled.parent / "04.jpg").write_bytes(b"no photo")
    here = evaluate(request_of(recipe, labelled, INT8), ledger, print)
    there = evaluate(request_of(recipe, labelled, INT8, device=load_profile("host")), ledger, print)
    assert there.results[0].metrics == here.results[0].metrics
    assert there.results[0].failed.keys() == here.results[0].failed.keys()
    assert there.results[0].comparison == here.results[0].comparison
    assert [result.device for result in there.results] == ["host", None]
    told = []
    again = evaluate(request_of(recipe, labelled, INT8, device=load_profile("host"), against=INT8), ledger, told.append)
    assert again.results[0].comparison.agreement.value == 100  # of its kernels with this machine's
    assert any("on host: 12 of 12 photos from the cache" in line for line in told)


def test_a_device_that_does_not_run_the_target_is_refused(edgekit, photos):
    done = edgekit("evaluate", *tiny.OPTIONS, "--target", "coreml/-/fp16", "--data", photos, "--device", "host")
    assert done.returncode == 2
    assert "host does not run coreml/-/fp16; host runs tflite, executorch" in done.stderr


def test_a_device_that_cannot_be_reached_is_an_error_before_anything_is_built(recipe, photos, ledger):
    keys = {"name": "nowhere", "kind": "linux", "runs": ["tflite"], "host": "127.0.0.1", "port": 1, "user": "nobody"}
    nowhere = stored_profile(keys)
    with pytest.raises(EdgekitError) as raised:
        evaluate(request_of(recipe, photos, device=nowhere), ledger, print)
    assert raised.value.failure.kind is FailureKind.offline
    assert ledger.artifacts() == []


@pytest.mark.parametrize("kind", ["board", "android"])
def test_a_device_of_the_lab_runs_them_too_and_keeps_no_photo(
    kind, labelled, recipe, ledger, capsule, request, profile_of
):
    profile = profile_of(request.getfixturevalue(kind))
    here = evaluate(request_of(recipe, labelled), ledger, print)
    there = evaluate(request_of(recipe, labelled, device=profile), ledger, print)
    assert there.results[0].metrics == here.results[0].metrics
    assert there.results[0].device == "lab"
    own = next(one for one in ledger.accuracies(there.run) if one.target == FP32)
    with opened(profile) as device:
        assert own.device_id == device.identify().hash
        left = device.check(f"ls {device.root}/files").split()
        assert any(name.endswith(".tflite") for name in left)
        assert not [name for name in left if name.endswith(".bin")]
