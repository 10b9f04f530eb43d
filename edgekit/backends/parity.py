"""Does an artifact still compute what PyTorch computed? Compared on photos, before any device time is spent."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgekit.backends.base import Logits, ParityResult
from edgekit.recipe import FloatLimits, ParityLimits, QuantizedLimits


def compare(
    reference: Logits, artifact: Logits, precision: str, limits: ParityLimits, kind: Literal["measured", "derived"]
) -> ParityResult:
    """Compare logits (photos, classes) of PyTorch and of an artifact under the limits of its `precision`.

    A value that is not finite is never within the limits. AttributeError for a precision that has none.
    """
    limit: FloatLimits | QuantizedLimits = getattr(limits, precision)
    error = np.abs(artifact.astype(np.float64) - reference)
    signal = np.abs(reference.astype(np.float64))
    max_absolute = float(error.max())
    max_relative = max_absolute / float(signal.max())
    noise_power = float((error**2).mean())
    snr_db = float(10 * np.log10((signal**2).mean() / noise_power)) if noise_power else float("inf")
    agreement = float((reference.argmax(1) == artifact.argmax(1)).mean())
    if isinstance(limit, FloatLimits):
        passed = max_absolute <= limit.max_absolute and max_relative <= limit.max_relative
    else:
        passed = snr_db >= limit.min_snr_db and agreement >= limit.min_top1_agreement
    return ParityResult(
        kind=kind,
        photos=len(reference),
        max_absolute=max_absolute,
        max_relative=max_relative,
        snr_db=min(snr_db, 999.0),  # JSON knows no infinity; 999 dB is equality
        top1_agreement=agreement,
        passed=passed and bool(np.isfinite(artifact).all()),
        limits=limit.model_dump(),
    )


def explain(result: ParityResult) -> str:
    """Say in a few words how far an artifact is from PyTorch."""
    return (
        f"max abs {result.max_absolute:.2g}, relative {result.max_relative:.2g}, SNR {result.snr_db:.0f} dB, "
        f"top-1 {round(result.top1_agreement * result.photos)}/{result.photos}"
    )
