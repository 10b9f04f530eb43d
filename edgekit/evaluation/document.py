"""What ``edgekit evaluate --json`` prints."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.config.json_document import JsonDocument
from edgekit.evaluation.metrics import Comparison, Estimate
from edgekit.ledger.records import AccuracyRecord


class Part(BaseModel):
    """A part of the document; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class DataEntry(Part):
    """The photos that were asked: `photos` of `available`, chosen by `seed`. `subset_sha256` is over photos and labels."""

    name: str
    format: str
    source: str
    available: int
    photos: int
    seed: int
    subset_sha256: str


class ResultEntry(Part):
    """How accurate an artifact is, or PyTorch, whose `artifact_sha256` is the key of the prepared model.

    Values are in percent with 95 % intervals. `n` photos count; `failed` are the others: path -> what is wrong.
    """

    target: str
    artifact_sha256: str
    kind: str
    device: str | None
    n: int
    metric: str
    metrics: dict[str, Estimate]
    comparison: Comparison | None
    failed: dict[str, str]


class EvaluateDocument(JsonDocument):
    """One run of evaluate. `complete` says that no photo failed."""

    run: str
    recipe: str
    variant: str
    task: Literal["classification", "detection", "segmentation"]
    data: DataEntry
    complete: bool
    results: list[ResultEntry]


def result_entry(record: AccuracyRecord) -> ResultEntry:
    """Return a row of the ledger as a part of the document."""
    known: dict[str, Any] = {name: getattr(record, name) for name in ResultEntry.model_fields}
    return ResultEntry.model_validate(known)
