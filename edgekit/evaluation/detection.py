"""From a detector's outputs to boxes: anchors, box coding and non-maximum suppression, on the host in NumPy.

Boxes are (ymin, xmin, ymax, xmax) from 0 to 1, anchors (y centre, x centre, height, width). Conventions are those of the
TensorFlow object detection API, with which the papers' detectors were trained (SSD: arXiv:1512.02325, section 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from edgekit.architectures.registry import Size, sides

Array = NDArray[np.float32]

SCALES = (*(0.2 + (0.95 - 0.2) * index / 5 for index in range(6)), 1.0)
"""An anchor's side over the image's, for each of the six maps, and what the last map's is interpolated with."""
FIRST_MAP = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
"""(Scale, aspect ratio) of the anchors in the finest map."""
RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
CODE_SCALES = np.array((10, 10, 5, 5), np.float32)
"""What the codes of y, x, height and width are multiplied with."""
FINEST_STRIDE = 16
SSD300_MAPS = ((38, 8, (2,)), (19, 16, (2, 3)), (10, 32, (2, 3)), (5, 64, (2, 3)), (3, 100, (2,)), (1, 300, (2,)))
"""Of each map of SSD300: places along a side, pixels from one to the next, aspect ratios."""
SSD300_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)  # COCO's (section 3.4), with the one beyond the last map


@dataclass(frozen=True)
class Detection:
    """One object: its class (0 is the background and never comes), score from 0 to 1 and box."""

    label: int
    score: float
    box: tuple[float, float, float, float]


def ssd_anchors(size: Size) -> Array:
    """Return the anchors (count, 4) for an input of (height, width), in the order of the detector's outputs."""
    height, width = sides(size)
    shorter = min(height, width)
    anchors = []
    for index, scale in enumerate(SCALES[:-1]):
        stride = FINEST_STRIDE * 2**index
        rows, columns = ceil(height / stride), ceil(width / stride)
        specs = [(scale, ratio) for ratio in RATIOS] + [(sqrt(scale * SCALES[index + 1]), 1.0)]
        shapes = [
            (size / sqrt(ratio) * shorter / height, size * sqrt(ratio) * shorter / width)
            for size, ratio in (specs if index else FIRST_MAP)
        ]
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        centres = np.repeat(np.stack([y, x], -1).reshape(-1, 1, 2), len(shapes), 1)
        anchors.append(np.concatenate([centres, np.broadcast_to(shapes, centres.shape)], -1).reshape(-1, 4))
    return np.concatenate(anchors).astype(np.float32)


def ssd300_anchors() -> Array:
    """Return the 8732 anchors of SSD300 (arXiv:1512.02325, section 2.2 and Figure 2), in the order of its outputs.

    At a place: a square of the map's scale, one of the geometric mean with the next map's, then each ratio wide and high.
    """
    anchors = []
    for (side, step, ratios), (scale, next_scale) in zip(SSD300_MAPS, pairwise(SSD300_SCALES), strict=True):
        shapes = [(scale, scale), (sqrt(scale * next_scale),) * 2]
        for ratio in ratios:
            wide, high = scale * sqrt(ratio), scale / sqrt(ratio)
            shapes += [(high, wide), (wide, high)]
        places = (np.arange(side) + 0.5) * step / 300
        y, x = np.meshgrid(places, places, indexing="ij")
        centres = np.repeat(np.stack([y, x], -1).reshape(-1, 1, 2), len(shapes), 1)
        anchors.append(np.concatenate([centres, np.broadcast_to(shapes, centres.shape)], -1).reshape(-1, 4))
    return np.concatenate(anchors).astype(np.float32)


def encode(boxes: Array, anchors: Array) -> Array:
    """Return the codes (count, 4) that :func:`decode` makes `boxes` of."""
    extents = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + extents / 2
    codes = np.concatenate([(centres - anchors[:, :2]) / anchors[:, 2:], np.log(extents / anchors[:, 2:])], 1)
    scaled: Array = codes * CODE_SCALES
    return scaled


def decode(codes: Array, anchors: Array) -> Array:
    """Return the boxes (count, 4) of box codes (count, 4)."""
    unscaled = codes / CODE_SCALES
    centres = unscaled[:, :2] * anchors[:, 2:] + anchors[:, :2]
    extents = np.exp(unscaled[:, 2:]) * anchors[:, 2:]
    return np.concatenate([centres - extents / 2, centres + extents / 2], 1)


def overlaps(boxes: Array, others: Array) -> Array:
    """Return intersection over union of each of `boxes` (n, 4) with each of `others` (m, 4): (n, m)."""
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), -1)
    areas, other_areas = (np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), -1) for corners in (boxes, others))
    union = areas[:, None] + other_areas[None] - shared
    result: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result


def suppress(boxes: Array, scores: Array, threshold: float, most: int) -> list[int]:
    """Return the indices of at most `most` boxes, best first, none overlapping a better one by more than `threshold`."""
    order, kept = np.argsort(-scores, kind="stable"), list[int]()
    while order.size and len(kept) < most:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[overlaps(boxes[best : best + 1], boxes[rest])[0] <= threshold]
    return kept


def detect(
    class_logits: Array,
    box_codes: Array,
    anchors: Array,
    least_score: float = 0.3,
    threshold: float = 0.6,
    most: int = 100,
    exclusive: bool = False,
) -> list[Detection]:
    """Return the objects of one image, best first, from its class logits (anchors, classes) and box codes (anchors, 4).

    Scores are sigmoids, or if the classes are `exclusive`, as SSD300's, softmax probabilities. Suppression is per class.
    Boxes are clipped to the image.
    """
    scores = softmax(class_logits, axis=1) if exclusive else expit(class_logits)
    boxes = np.clip(decode(box_codes, anchors), 0, 1)
    found = []
    for label in range(1, class_logits.shape[1]):
        likely = np.flatnonzero(scores[:, label] >= least_score)
        for index in suppress(boxes[likely], scores[likely, label], threshold, most):
            anchor = likely[index]
            ymin, xmin, ymax, xmax = boxes[anchor].tolist()
            found.append(Detection(label, float(scores[anchor, label]), (ymin, xmin, ymax, xmax)))
    return sorted(found, key=lambda detection: -detection.score)[:most]
