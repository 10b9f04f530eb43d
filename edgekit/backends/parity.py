"""Does an artifact still compute what PyTorch computed? Compared on photos, before any device time is spent."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgekit.backends.base import Logits, ParityResult
from edgekit.recipe import FloatLimits, ParityLimits, QuantizedLimits

EQUAL_DB = 999.0
"""What is written for an infinite signal-to-noise ratio: JSON knows no infinity."""
MAX_FLOAT = float(np.finfo(np.float32).max)
"""What is written for an error that is not finite."""


def compare(
    reference: Logits,
    artifact: Logits,
    precision: str,
    limits: ParityLimits,
    *,
    kind: Literal["measured", "derived"],
    trained: bool,
) -> ParityResult:
    """Compare logits (photos, classes) of PyTorch and of an artifact under the limits of its `precision`.

    Top-1 agreement is judged where the model is `trained`: of random logits the largest is anybody's. A value that is not finite
    is never within the limits. AttributeError for a precision that has none.
    """
    limit: FloatLimits | QuantizedLimits = getattr(limits, precision)
    error = np.abs(artifact.astype(np.float64) - reference)
    signal = np.abs(reference.astype(np.float64))
    max_absolute = float(error.max())
    max_relative = max_absolute / float(signal.max())
    noise_power = float((error**2).mean())
    snr_db = float(10 * np.log10((signal**2).mean() / noise_power)) if noise_power else float("inf")
    agreement = float((reference.argmax(1) == artifact.argmax(1)).mean())
    applied = limit.model_dump()
    if isinstance(limit, FloatLimits):
        passed = max_absolute <= limit.max_absolute and max_relative <= limit.max_relative
    else:
        passed = snr_db >= limit.min_snr_db and (agreement >= limit.min_top1_agreement or not trained)
        if not trained:
            del applied["min_top1_agreement"]
    finite = bool(np.isfinite(artifact).all())
    return ParityResult(
        kind=kind,
        photos=len(reference),
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
        f"top-1 {round(result.top1_agreement * result.photos)}/{result.photos}"
    )
