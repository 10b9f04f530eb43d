"""Comparison of an artifact's outputs with PyTorch's on photos, before device time is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import ParityResult
from edgekit.recipe.limits import FloatLimits, ParityLimits, QuantizedLimits

NamedOutputs = Mapping[str, NDArray[np.float32]]

EQUAL_DB = 999.0
"""Replaces an infinite signal-to-noise ratio: JSON has no infinity."""
MAX_FLOAT = float(np.finfo(np.float32).max)
"""What is written for an error that is not finite."""
CLEAR = 0.25
"""A decision is clear if the largest logit leads by so many standard deviations of the logits."""
FEW = 8
"""With fewer photos decisions are not judged: a single photo would be too large a share."""
MEASURED_AS = {"agreement": "clear_agreement", "absolute": "max_absolute", "relative": "max_relative"}
"""What a limit is of, if it is not called as the measured quantity."""


def _decibels(value: float) -> str:
    return f"{value:.1f} dB"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number(value: float) -> str:
    return f"{value:.2g}"


SHOWN_AS: dict[str, tuple[str, Callable[[float], str]]] = {
    "snr_db": ("signal-to-noise ratio", _decibels),
    "agreement": ("agreement on clear decisions", _percent),
    "ties": ("ties at the maximum", _percent),
    "saturation": ("photos at the end of the output's range", _percent),
    "layer_db": ("signal-to-noise ratio of the worst layer alone", _decibels),
    "absolute": ("largest error", _number),
    "relative": ("largest error over the largest value", _number),
}
"""Quantity -> its words and how its value is written."""


def compare(
    reference: NamedOutputs,
    artifact: NamedOutputs,
    precision: str,
    limits: ParityLimits,
    *,
    kind: Literal["measured", "derived"],
    trained: bool,
    layer_db: float | None = None,
    judge_decisions: bool = True,
) -> ParityResult:
    """Compare the outputs (photos first) of PyTorch and of an artifact by name, under the limits of its `precision`.

    Every output must be within them, and so must `layer_db`, the worst layer's signal-to-noise ratio, if given.
    Decisions are judged if the model is `trained` and there are at least FEW photos, unless `judge_decisions` is false.
    With random weights the largest logit is a matter of chance. A value that is not finite is never within the limits.
    AttributeError for a precision without limits, KeyError for an output that the artifact lacks.
    """
    limit: FloatLimits | QuantizedLimits = getattr(limits, precision)
    differences = [_difference(reference[name], artifact[name]) for name in reference]
    decisions = _decide(reference, artifact)
    finite = all(bool(np.isfinite(artifact[name]).all()) for name in reference)
    snr_db = min(EQUAL_DB, *(difference.snr_db for difference in differences)) if finite else -EQUAL_DB
    result = ParityResult(
        kind=kind,
        photos=len(next(iter(reference.values()))),
        max_absolute=max(difference.max_absolute for difference in differences) if finite else MAX_FLOAT,
        max_relative=max(difference.max_relative for difference in differences) if finite else MAX_FLOAT,
        snr_db=snr_db,
        saturation=max(0.0, *(_saturation(artifact[name]) - _saturation(reference[name]) for name in reference))
        if finite
        else 1.0,
        layer_db=layer_db,
        passed=finite,
        limits={},
        **decisions,
    )
    applied = _applied(limit, trained, result.photos if judge_decisions else 1)
    passed = finite and not exceeded(result.model_copy(update={"limits": applied}))
    return result.model_copy(update={"limits": applied, "passed": passed})


def exceeded(result: ParityResult) -> list[str]:
    """Return the limits that a result exceeds, as ``ties 40.6 % (at most 5.0 %)``; empty if there are none."""
    found = []
    for name, limit in result.limits.items():
        bound, _, quantity = name.partition("_")
        value = getattr(result, MEASURED_AS.get(quantity, quantity))
        if value is not None and (value < limit if bound == "min" else value > limit):
            words, form = SHOWN_AS[quantity]
            found.append(f"{words} {form(value)} (at {'least' if bound == 'min' else 'most'} {form(limit)})")
    return found


def _applied(limit: FloatLimits | QuantizedLimits, trained: bool, photos: int) -> dict[str, float]:
    """Return the limits that count."""
    if isinstance(limit, FloatLimits):
        return limit.model_dump()
    if not trained:
        return {"min_snr_db": limit.min_snr_db_random}
    return limit.model_dump(exclude={"min_snr_db_random"}, include={"min_snr_db"} if photos < FEW else None)


def explain(result: ParityResult) -> str:
    """Describe in a few words how far an artifact is from PyTorch."""
    found = f"max abs {result.max_absolute:.2g}, relative {result.max_relative:.2g}, SNR {result.snr_db:.0f} dB"
    if result.top1_agreement is None:
        return found
    return f"{found}, top-1 {agreement(result.top1_agreement, result.photos, result.decisions)}"


def agreement(share: float, photos: int, decisions: int | None) -> str:
    """Write top-1 agreement: ``15/16`` if each photo is one decision. For pixels or anchors: ``99.8 %``."""
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


def _decide(reference: NamedOutputs, artifact: NamedOutputs) -> dict[str, Any]:
    """Compare the decisions of photos, pixels or anchors, as fields of ParityResult. Empty without logits.

    A decision is clear if PyTorch's largest logit leads the second by CLEAR standard deviations of the logits.
    Other decisions change easily, even in a good artifact.
    """
    from scipy.stats import binomtest

    names = [name for name in reference if name.endswith("logits") and 2 <= reference[name].ndim <= 4]
    if len(names) != 1:
        return {}
    (name,) = names
    axis = 2 if reference[name].ndim == 3 else 1  # (N, anchors, classes); (N, classes) and (N, classes, H, W)
    exact, own = reference[name], artifact[name]
    equal = exact.argmax(axis) == own.argmax(axis)
    ordered = np.partition(exact, -2, axis) if exact.shape[axis] > 1 else np.repeat(exact, 2, axis)
    second, first = ordered.take(-2, axis), ordered.take(-1, axis)
    clear = first - second > CLEAR * exact.std(axis)
    tied = (own == own.max(axis, keepdims=True)).sum(axis) > 1
    agreeing, count = int((equal & clear).sum()), int(clear.sum())
    interval = binomtest(agreeing, count).proportion_ci(method="wilson") if count else None
    return {
        "decisions": equal.size,
        "top1_agreement": float(equal.mean()),
        "clear_decisions": count,
        "clear_agreement": agreeing / count if count else None,
        "agreement_interval": (float(interval.low), float(interval.high)) if interval else None,
        "ties": float((tied & (first > second)).mean()),
    }


def _saturation(output: NDArray[np.float32]) -> float:
    """Return the share of images that reach the overall largest or smallest value, except the one that must."""
    flat = output.reshape(len(output), -1)
    reaching = max(int((flat == end).any(1).sum()) for end in (flat.max(), flat.min()))
    return (reaching - 1) / len(flat)
