"""What ``edgekit diff --json`` prints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.comparison.overall import Overall
from edgekit.comparison.ratio import Ratio
from edgekit.config.json_document import JsonDocument

Outcome = Literal[
    "faster",
    "slower",
    "no difference shown",
    "not comparable",
    "stopped working",
    "started working",
    "fails on both sides",
    "only on the first side",
    "only on the second side",
    "new and failing",
    "not measured again",
    "not timed",
]


class Change(BaseModel):
    """A value on both sides."""

    model_config = ConfigDict(extra="forbid")
    first: str
    second: str


class AccuracyChange(BaseModel):
    """The accuracy in percent of each side's artifact on the same `n` photos, with its 95 % interval.

    `difference` is second minus first. `shown` is whether the intervals have nothing in common.
    """

    model_config = ConfigDict(extra="forbid")
    metric: str
    data_set: str
    n: int
    first: float
    first_interval: tuple[float, float]
    second: float
    second_interval: tuple[float, float]
    difference: float
    shown: bool


class CellEntry(BaseModel):
    """The comparison of a recipe, variant, target and device.

    `model`, `device_id`, `protocol` and `runner` are those of the first side, or of the second if the first has no result.
    `reasons` say why it is not comparable, or what failed. `conditions` differ between the sides; `built_with` are
    differences in tools and sources. `latency_ms` are the medians. `sessions_needed` of each side would show the
    difference in question; None if there are enough, if no number that was tried is, or on an `emulated` device.
    """

    model_config = ConfigDict(extra="forbid")
    recipe: str
    variant: str
    target: str
    device: str | None
    model: str | None
    device_id: str | None
    protocol: str | None
    runner: str | None
    emulated: bool
    outcome: Outcome
    reasons: list[str]
    latency_ms: tuple[float | None, float | None]
    ratio: Ratio | None
    sessions: tuple[int, int]
    sessions_needed: int | None
    size_bytes: tuple[int | None, int | None]
    accuracy: AccuracyChange | None
    conditions: dict[str, Change]
    built_with: dict[str, Change]
    verdicts: tuple[str | None, str | None]


class GateEntry(BaseModel):
    """What one ``--fail-if`` found: `failed` and `undecided` list the cells."""

    model_config = ConfigDict(extra="forbid")
    condition: str
    failed: list[str]
    undecided: list[str]


class DiffDocument(JsonDocument):
    """Two sides, compared cell by cell. `conditions` differ in some cell, and `across` were allowed to.

    `overall` is None if fewer than two cells have six sessions on both sides.
    """

    first: str
    second: str
    confidence: float
    across: list[str]
    cells: list[CellEntry]
    overall: Overall | None
    gates: list[GateEntry]
    notes: list[str]
