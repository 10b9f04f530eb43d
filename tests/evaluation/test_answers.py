import json

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import EdgekitError, UsageError
from edgekit.evaluation.answers import answer, likeliest, overlap
from edgekit.evaluation.coco import match
from edgekit.evaluation.detection import detect
from edgekit.evaluation.formats import load_dataset
from edgekit.evaluation.masks import check_masks, open_mask
from edgekit.recipe.loading import load_recipe


def test_of_equal_logits_the_first_is_the_answer_and_of_broken_ones_none():
    assert likeliest(np.float32([1, 3, 3, 0, 2, 1])) == [1, 2, 4, 0, 5]
    assert likeliest(np.float32([1, np.nan, 3])) == []
    assert likeliest(np.float32([1, np.inf, 3])) == []


def test_pixels_are_counted_at_the_size_of_the_mask_and_255_is_ignored():
    logits = np.zeros((3, 2, 2), np.float32)
    logits[1, :, 1] = 9  # the right half is class 1
    truth = np.zeros((4, 8), np.uint8)
    truth[:, 4:] = 1
    truth[0] = 255
    truth[3, 7] = 2
    counts = overlap(logits, truth)
    right, wrong, missed = counts["1"]
    assert right == 11
    assert wrong >= 1  # of class 2
    assert missed == 0
    assert counts["2"] == [0, 0, 1]
    assert sum(counts["0"]) + right + 1 >= 24


def save(path, values, mode="P"):
    image = Image.fromarray(np.uint8(values), "L")
    if mode == "P":
        image = image.convert("P")
        image.putdata(np.uint8(values).ravel().tolist())
    image.convert(mode).save(path)


@pytest.fixture
def masks(tmp_path):
    """Two photos with masks; the second has class 30."""
    for name, value in (("a", 1), ("b", 30)):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.jpg")
        save(tmp_path / f"{name}.png", np.full((4, 4), value))
    return tmp_path


def test_a_mask_is_its_palette_indices(masks):
    assert set(open_mask(masks / "b.png").ravel()) == {30}


def test_masks_with_other_classes_than_the_models_are_refused_by_their_numbers(masks):
    dataset = load_dataset(masks)
    with pytest.raises(UsageError, match=r"1 masks hold classes that .* has no output for: 30 \(first in b.png\)"):
        check_masks(dataset, load_recipe("deeplabv3_v2_voc"), 2)
    save(masks / "b.png", np.full((4, 4), 255))
    check_masks(dataset, load_recipe("deeplabv3_v2_voc"), 2)


@pytest.mark.parametrize("damage", ["colours", "bytes"])
def test_a_mask_that_is_none_is_refused_by_name(masks, damage):
    if damage == "colours":
        Image.new("RGB", (4, 4)).save(masks / "a.png")
    else:
        (masks / "a.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(UsageError, match=r"a\.png"):
        open_mask(masks / "a.png")


def test_classes_of_ssd300_exclude_each_other():
    logits = np.float32([[5, 5, -9]])
    boxes, anchors = np.zeros((1, 4), np.float32), np.float32([[0.5, 0.5, 0.4, 0.4]])
    assert detect(logits, boxes, anchors)[0].score == pytest.approx(1 / (1 + np.exp(-5)))
    assert detect(logits, boxes, anchors, exclusive=True)[0].score == pytest.approx(0.5, abs=1e-4)


def test_a_detector_whose_anchors_are_unknown_is_refused():
    outputs = {"class_logits": np.zeros((3, 91), np.float32), "box_codes": np.zeros((3, 4), np.float32)}
    with pytest.raises(EdgekitError, match="does not know the anchors"):
        answer(load_recipe("ssd_v2_coco"), outputs, "0")


@pytest.fixture
def objects(tmp_path):
    """Two images with one object each and an image without, in the wrong order of ids."""
    boxes = {5: [10, 20, 30, 40], 2: [0, 0, 50, 50]}
    content = {
        "images": [{"id": id, "file_name": f"{id}.jpg", "height": 100, "width": 100} for id in (5, 9, 2)],
        "annotations": [{"id": 0, "image_id": id, "category_id": 17, "bbox": box} for id, box in boxes.items()],
        "categories": [{"id": 17, "name": "cat"}],
    }
    (tmp_path / "5.jpg").touch()
    (tmp_path / "coco.json").write_text(json.dumps(content))
    return load_dataset(tmp_path / "coco.json")


RIGHT, WRONG = (
    {5: [[17, 0.9, 0.2, 0.1, 0.6, 0.4]], 9: [], 2: [[17, 0.8, 0, 0, 0.5, 0.5]]},
    [[17, 0.9, 0.6, 0.6, 0.9, 0.9]],
)


@pytest.mark.parametrize(
    ("changes", "map50"),
    # A wrong box with a better score before the second right one: precision 1, then 2/3.
    [
        ({}, 100),
        ({5: WRONG}, 25.2),
        ({2: []}, 50.5),
        ({9: [[17, 0.85, 0.6, 0.6, 0.9, 0.9]]}, 83.5),
        ({5: [], 2: []}, 0),
    ],
)
def test_map_of_boxes_that_are_right_wrong_and_missing(objects, changes, map50):
    found = list({**RIGHT, **changes}.values())
    results = match(objects, {"cat": 17}, found, [0, 1, 2])
    assert results.precision()[1] == pytest.approx(map50, abs=0.5)


def test_map_of_chosen_images_counts_one_twice_and_leaves_others_out(objects):
    found = list({**RIGHT, 2: []}.values())
    results = match(objects, {"cat": 17}, found, [0, 1, 2])
    assert results.precision(np.array([0, 0]))[0] == pytest.approx(100)
    assert results.precision(np.array([2]))[0] == 0
    assert np.isnan(results.precision(np.array([1]))[0])
    assert results.precision(np.array([2, 0, 1])) == results.precision()


def test_map_of_images_that_could_be_read_only(objects):
    results = match(objects, {"cat": 17}, [RIGHT[5], RIGHT[9]], [0, 1])
    assert results.precision()[0] == pytest.approx(100)
