"""MobileNetV2 with its real weights on labelled photos, which are never photos of the calibration."""

import numpy as np
import pytest
import tiny

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import backend_of
from edgekit.build.photos import open_photo, photo_set, preprocess
from edgekit.build.prepare import build_model, load_prepared
from edgekit.evaluation.class_names import imagenet_names
from edgekit.pipeline import Plan, build_artifacts
from edgekit.recipe.loading import load_recipe

RUNTIMES = ["tflite", pytest.param("executorch", marks=pytest.mark.slow)]


@pytest.fixture(params=RUNTIMES)
def v2(v2_checkpoint, tmp_path, request):
    """The recipe, the prepared model and its artifacts of one runtime by precision."""
    recipe, targets = load_recipe("v2"), [f"{request.param}/xnnpack/{precision}" for precision in ("fp32", "int8")]
    prepared, built = build_artifacts(Plan.of(recipe, targets, photo_set()), lambda line: None, tmp_path / "log")
    assert [one.failure for one in built] == [None, None]
    return recipe, prepared, {one.target.precision: one.artifact for one in built}


def test_fp32_artifacts_give_pytorchs_top1_on_all_labelled_photos_and_int8_is_reported(v2, labelled_photos, capsys):
    import torch

    recipe, prepared, artifacts = v2
    images = np.stack([preprocess(open_photo(path), recipe.preprocessing, 224) for path, _ in labelled_photos])
    labels = np.array([label for _, label in labelled_photos])
    with torch.no_grad():
        reference = load_prepared(recipe, prepared.folder)(torch.from_numpy(images)).numpy()
    assert (reference.argmax(1) == labels).sum() >= 18
    assert sum(label in np.argsort(-row)[:5] for row, label in zip(reference, labels, strict=True)) == 20
    agreement = {}
    for precision, artifact in artifacts.items():
        (logits,) = backend_of(artifact.target).execute(artifact.path, Inputs.of_images(images))
        agreement[precision] = int((logits.argmax(1) == reference.argmax(1)).sum())
    with capsys.disabled():
        print(f"\nMobileNetV2, {artifact.target.backend}, top-1 equal to PyTorch's of 20 labelled photos: {agreement}")
    assert agreement["fp32"] == 20
    assert agreement["int8"] >= 8  # 12 and 14 were seen; random logits agree on none


@pytest.mark.parametrize(
    ("name", "top1", "top5"),
    [("efficientnet_lite0", 18, 19), ("efficientnet_lite1", 18, 20), ("efficientnet_lite2", 18, 20)],
)
def test_efficientnet_lite_with_its_real_weights_sees_what_is_on_the_labelled_photos(
    name, top1, top5, lite_checkpoints, labelled_photos
):
    import torch

    recipe = load_recipe(name)
    model = build_model(recipe, str(lite_checkpoints[name]), None, np.empty(0))
    size = recipe.model.resolution
    images = np.stack([preprocess(open_photo(path), recipe.preprocessing, size) for path, _ in labelled_photos])
    labels = torch.tensor([label for _, label in labelled_photos])
    with torch.no_grad():
        logits = model(torch.from_numpy(images))
    assert (logits.argmax(1) == labels).sum() >= top1
    assert (logits.topk(5).indices == labels[:, None]).any(1).sum() >= top5


@pytest.mark.parametrize("target", [None, "tflite/xnnpack/fp32"])
def test_classify_sees_the_cat(v2, edgekit, target):
    from skimage import data

    cat = f"{data.__path__[0]}/chelsea.png"
    done = edgekit("classify", "recipes/v2.yaml", cat, *(("--target", target) if target else ()))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    first = lines[0].split(maxsplit=2)
    assert 281 <= int(first[1]) <= 285  # ImageNet's cats
    assert first[2] == imagenet_names()[int(first[1])]
    assert "cat" in done.stdout.lower()


def test_classify_of_something_that_is_no_imagenet_classifier_is_refused(edgekit, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "red.png")
    done = edgekit("classify", "v1", tmp_path / "red.png", "--set", "model.classes=10")
    assert done.returncode == 2
    assert "10 classes" in done.stderr
    assert "class_names" in done.stderr


def test_classify_prints_the_recipes_own_class_names(edgekit, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "red.png")
    names = ("model.classes=6", "class_names=[ant, bee, cat, dog, elk, fox]")
    settings = [part for name in names for part in ("--set", name)]
    done = edgekit("classify", *tiny.OPTIONS, *settings, tmp_path / "red.png")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 5
    assert all(name == ("ant", "bee", "cat", "dog", "elk", "fox")[int(index)] for _, index, name in lines)


def test_classify_with_a_new_head_has_no_names_of_imagenet(edgekit, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "red.png")
    done = edgekit("classify", "v2", tmp_path / "red.png", "--set", "weights.new_head=0")
    assert done.returncode == 2
    assert "v2 has a new head, and its recipe does not name its classes" in done.stderr


@pytest.mark.parametrize(("recipe", "task"), [("ssdlite_v2", "detection"), ("lraspp_v2", "segmentation")])
def test_classify_with_what_is_no_classifier_is_refused(edgekit, tmp_path, recipe, task):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "red.png")
    done = edgekit("classify", recipe, tmp_path / "red.png")
    assert done.returncode == 2
    assert f"{recipe} is not a classifier" in done.stderr
    assert task in done.stderr
