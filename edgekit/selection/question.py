"""What is asked of a selection."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgekit.errors import UsageError

Percentile = Literal["p50", "p90"]
AccuracyKind = Literal["measured", "published", "any"]


class Question(BaseModel):
    """Which model to ship. Latencies in ms, accuracies in percent, sizes in bytes. None and empty lists are no limits.

    - `devices`: names of profiles, or ids of devices; one model has to serve all of them.
    - `targets`: whole ones or parts, such as ``int8`` or ``tflite/xnnpack``.
    - `percentile`: what the budget is about: `p50` is the median, `p90` the upper bound of the 90th percentile.
    - `accuracy`: the source of accuracies; None: measured ones, or published ones if nothing was measured.
    - `weights`: `trained` leaves random weights out.
    - `equal_within`: points. Models within this distance of the most accurate count as equal; the fastest of them wins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: tuple[str, ...] = Field(min_length=1)
    max_latency_ms: float | None = Field(None, gt=0)
    percentile: Percentile = "p50"
    min_accuracy: float | None = Field(None, ge=0, le=100)
    max_size_bytes: int | None = Field(None, gt=0)
    max_memory_bytes: int | None = Field(None, gt=0)
    runtimes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    protocol: str | None = None
    weights: Literal["any", "trained"] = "any"
    accuracy: AccuracyKind | None = None
    equal_within: float = Field(0.5, ge=0)
    seed: int = Field(0, ge=0)

    @property
    def fastest(self) -> bool:
        """Whether the fastest model is sought: if an accuracy is required and no latency is."""
        return self.max_latency_ms is None and self.min_accuracy is not None

    def check(self) -> None:
        """UsageError for what contradicts itself."""
        if len(set(self.devices)) < len(self.devices):
            raise UsageError("--device names a device twice.", "Name each device once.")


def objective(question: Question) -> str:
    """Return the question as a sentence."""
    what = "the fastest model" if question.fastest else "the most accurate model"
    limits = []
    if question.max_latency_ms is not None:
        latency = "median latency" if question.percentile == "p50" else "p90 latency (upper bound)"
        limits.append(f"{latency} at most {question.max_latency_ms:g} ms")
    if question.min_accuracy is not None:
        limits.append(f"accuracy at least {question.min_accuracy:g} %")
    if question.max_size_bytes is not None:
        limits.append(f"size at most {question.max_size_bytes / 1e6:g} MB")
    if question.max_memory_bytes is not None:
        limits.append(f"memory at most {question.max_memory_bytes / 1e6:g} MB")
    return f"{what} with {' and '.join(limits)}" if limits else f"{what}, without any limit"
