import numpy as np
import pytest
import torch

from edgekit.architectures.registry import build
from edgekit.evaluation.detection import decode, detect, encode, overlaps, ssd300_anchors, ssd_anchors, suppress
from edgekit.evaluation.segmentation import class_overlap


@pytest.mark.parametrize("size", [320, 300, 64, (96, 160)])
def test_there_is_an_anchor_for_each_output_of_the_detector(size):
    model = build("ssdlite_mobilenet_v2", width=0.35, classes=3)
    height, width = (size, size) if isinstance(size, int) else size
    class_logits, box_codes = model(torch.zeros(1, 3, height, width))
    assert len(ssd_anchors(size)) == class_logits.shape[1] == box_codes.shape[1]


def test_anchors_are_those_of_the_object_detection_api():
    anchors = ssd_anchors(300)
    assert anchors.shape == (1917, 4)
    np.testing.assert_allclose(anchors[0], [0.5 / 19, 0.5 / 19, 0.1, 0.1], rtol=1e-5)
    np.testing.assert_allclose(anchors[1], [0.5 / 19, 0.5 / 19, 0.2 / 2**0.5, 0.2 * 2**0.5], rtol=1e-5)
    np.testing.assert_allclose(anchors[-6], [0.5, 0.5, 0.95, 0.95], rtol=1e-5)
    np.testing.assert_allclose(anchors[-1], [0.5, 0.5, 0.95**0.5, 0.95**0.5], rtol=1e-5)


def test_ssd300_has_the_papers_8732_anchors_one_for_each_output():
    anchors = ssd300_anchors()
    assert anchors.shape == (8732, 4)
    np.testing.assert_allclose(anchors[0], [4 / 300, 4 / 300, 0.07, 0.07], rtol=1e-5)
    np.testing.assert_allclose(anchors[2], [4 / 300, 4 / 300, 0.07 / 2**0.5, 0.07 * 2**0.5], rtol=1e-5)
    np.testing.assert_allclose(anchors[-4], [0.5, 0.5, 0.87, 0.87], rtol=1e-5)
    with torch.device("meta"):
        class_logits, box_codes = build("ssd300_vgg16", classes=3)(torch.zeros(1, 3, 300, 300))
    assert class_logits.shape == (1, 8732, 3)
    assert box_codes.shape == (1, 8732, 4)


def test_anchors_of_a_wide_image_are_square_in_pixels():
    height, width = ssd_anchors((100, 200))[0, 2:] * (100, 200)
    assert height == pytest.approx(width) == pytest.approx(10)


def test_decoding_undoes_encoding():
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 1, (50, 2, 2)), 1).astype(np.float32)
    boxes = corners.reshape(50, 4) + np.float32([0, 0, 0.01, 0.01])
    anchors = ssd_anchors(320)[random.integers(0, 2034, 50)]
    np.testing.assert_allclose(decode(encode(boxes, anchors), anchors), boxes, atol=1e-5)
    np.testing.assert_allclose(
        decode(np.float32([[0, 0, 0, 0]]), np.float32([[0.5, 0.5, 0.2, 0.4]]))[0], [0.4, 0.3, 0.6, 0.7]
    )


def test_overlap_is_intersection_over_union():
    box = np.float32([[0, 0, 1, 1]])
    others = np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0.5, 1.5, 1.5], [2, 2, 3, 3]])
    np.testing.assert_allclose(overlaps(box, others)[0], [1, 0.5, 0.25 / 1.75, 0], rtol=1e-6)


def test_suppression_keeps_the_best_of_what_overlaps():
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 0.95, 1], [0, 0, 0.3, 0.3]])
    scores = np.float32([0.8, 0.9, 0.1])
    assert suppress(boxes, scores, 0.6, 10) == [1, 2]
    assert suppress(boxes, scores, 0.99, 10) == [1, 0, 2]
    assert suppress(boxes, scores, 0.99, 1) == [1]


def test_detections_are_found_per_class_and_never_the_background():
    anchors = np.float32([[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.4, 0.42], [0.1, 0.1, 0.4, 0.4]])
    logits = np.float32([[9, 2, -9], [9, 1, 3], [9, -9, -9]])
    found = detect(logits, np.zeros((3, 4), np.float32), anchors)
    assert [one.label for one in found] == [2, 1]
    assert found[0].box == pytest.approx((0.3, 0.29, 0.7, 0.71), abs=1e-6)
    assert found[1].score == pytest.approx(1 / (1 + np.exp(-2)))


def test_class_overlap_leaves_out_ignored_pixels():
    predicted, truth = np.array([15, 15, 0, 15]), np.array([15, 0, 15, -1])
    assert class_overlap(predicted, truth, 15) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="neither"):
        class_overlap(predicted, truth, 7)
