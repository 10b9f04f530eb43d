"""Does an artifact still compute what PyTorch computed? Compared on photos, before any device time is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import ParityResult
from edgekit.recipe import FloatLimits, ParityLimits, QuantizedLimits

NamedOutputs = Mapping[str, NDArray[np.float32]]

EQUAL_DB = 999.0
"""What is written for an infinite signal-to-noise ratio: JSON knows no infinity."""
MAX_FLOAT = float(np.finfo(np.float32).max)
"""What is written for an error that is not finite."""


def compare(
    reference: NamedOutputs,
    artifact: NamedOutputs,
    precision: str,
    limits: ParityLimits,
    *,
    kind: Literal["measured", "derived"],
    trained: bool,
) -> ParityResult:
    """Compare the outputs (photos first) of PyTorch and of an artifact by name, under the limits of its `precision`.

    Every output must be within them. Top-1 agreement is judged where the model is `trained`: of random logits the largest is
    anybody's. A value that is not finite is never within the limits. AttributeError for a precision that has none, KeyError
    for an output that the artifact lacks.
    """
    limit: FloatLimits | QuantizedLimits = getattr(limits, precision)
    differences = [_difference(reference[name], artifact[name]) for name in reference]
    max_absolute = max(one.max_absolute for one in differences)
    max_relative = max(one.max_relative for one in differences)
    snr_db = min(one.snr_db for one in differences)
    agreement, decisions = _top1(reference, artifact)
    applied = limit.model_dump()
    if isinstance(limit, FloatLimits):
        passed = max_absolute <= limit.max_absolute and max_relative <= limit.max_relative
    else:
        passed = snr_db >= limit.min_snr_db and (agreement >= limit.min_top1_agreement or not trained)
        if not trained:
            del applied["min_top1_agreement"]
    finite = all(bool(np.isfinite(artifact[name]).all()) for name in reference)
    return ParityResult(
        kind=kind,
        photos=len(next(iter(reference.values()))),
        decisions=decisions,
        max_absolute=max_absolute if finite else MAX_FLOAT,
        max_relative=max_relative if finite else MAX_FLOAT,
        snr_db=min(snr_db, EQUAL_DB) if finite else -EQUAL_DB,
        top1_agreement=agreement,
        passed=passed and finite,
        limits=applied,
    )


def explain(result: ParityResult) -> str:
    """Say in a few words how far an artifact is from PyTorch."""
    return (
        f"max abs {result.max_absolute:.2g}, relative {result.max_relative:.2g}, SNR {result.snr_db:.0f} dB, "
        f"top-1 {agreement(result.top1_agreement, result.photos, result.decisions)}"
    )


def agreement(share: float, photos: int, decisions: int | None) -> str:
    """Write top-1 agreement: ``15/16`` where each photo is one decision, else, for pixels or anchors, ``99.8 %``."""
    return f"{round(share * photos)}/{photos}" if decisions in {None, photos} else f"{share:.1%}".replace("%", " %")


@dataclass(frozen=True)
class _Difference:
    max_absolute: float
    max_relative: float
    snr_db: float


def _difference(reference: NDArray[np.float32], artifact: NDArray[np.float32]) -> _Difference:
    if reference.shape != artifact.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {artifact.shape}")
    error = np.abs(artifact.astype(np.float64) - reference)
    signal = np.abs(reference.astype(np.float64))
    noise_power = float((error**2).mean())
    signal_power, largest_error, largest = float((signal**2).mean()), float(error.max()), float(signal.max())
    if not noise_power:
        return _Difference(largest_error, 0.0, float("inf"))
    if not signal_power:  # PyTorch computed zeros only, and the artifact something else
        return _Difference(largest_error, MAX_FLOAT, -EQUAL_DB)
    return _Difference(largest_error, largest_error / largest, float(10 * np.log10(signal_power / noise_power)))


def _top1(reference: NamedOutputs, artifact: NamedOutputs) -> tuple[float, int]:
    """Return the share of equal largest logits, and of how many: photos, pixels or anchors."""
    (name,) = (name for name in reference if name.endswith("logits"))
    axis = 2 if reference[name].ndim == 3 else 1  # (N, anchors, classes); (N, classes) and (N, classes, H, W)
    equal = reference[name].argmax(axis) == artifact[name].argmax(axis)
    return float(equal.mean()), equal.size
