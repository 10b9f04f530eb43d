"""How well a segmenter's classes cover those of labelled pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_overlap(predicted: NDArray[np.int64], truth: NDArray[np.int64], label: int, ignored: int = -1) -> float:
    """Return intersection over union of the pixels of class `label`; pixels whose truth is `ignored` do not count.

    Both arrays are classes of the same shape; ValueError if the class is in neither.
    """
    counted = truth != ignored
    ours, theirs = (predicted == label) & counted, (truth == label) & counted
    union = int((ours | theirs).sum())
    if not union:
        raise ValueError(f"class {label} is in neither array")
    return int((ours & theirs).sum()) / union
