"""Ratios of latencies within one run, paired by block: between precisions of a recipe, and between recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from pydantic import BaseModel, ConfigDict

from edgekit.ledger import Ledger
from edgekit.measure.statistics import paired_ratio
from edgekit.report.rows import Row


class Part(BaseModel):
    """A part of a run's document; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class RatioEntry(Part):
    """How many times as fast as `baseline` (fp32) `target` (int8) is, paired by block within this run; below 1: slower."""

    recipe: str
    variant: str
    device: str
    baseline: str
    target: str
    speedup: float
    interval: tuple[float, float]
    interval_confidence: float


class RecipeRatioEntry(Part):
    """How many times as fast as `baseline` another recipe is, as the same `target`, paired by `blocks` of this run.

    Of two recipes, `baseline` is the one with the larger median, so `speedup` is rarely below 1.
    """

    target: str
    device: str
    recipe: str
    variant: str
    baseline: str
    baseline_variant: str
    speedup: float
    interval: tuple[float, float]
    interval_confidence: float
    blocks: int


def precision_ratios(ledger: Ledger, rows: Sequence[Row]) -> list[RatioEntry]:
    """Return fp32 over int8 for every recipe and runtime of one run that was measured at both, paired by block."""
    measured = {
        (row.recipe, row.variant, row.device, row.target): row for row in rows if row.measurement_id is not None
    }
    pairs = [
        (row, other)
        for (recipe, variant, device, target), row in measured.items()
        if row.precision == "fp32"
        if (other := measured.get((recipe, variant, device, target.replace("/fp32", "/int8"))))
        and shared_blocks(row, other)
    ]
    centres = ledger.session_centres(row.measurement_id or 0 for pair in pairs for row in pair)
    ratios = []
    for row, other in pairs:
        slower, faster = centres[row.measurement_id or 0], centres[other.measurement_id or 0]
        ratio, interval = paired_ratio(slower, faster)
        ratios.append(
            RatioEntry(
                recipe=row.recipe,
                variant=row.variant,
                device=row.device or "",
                baseline=row.target,
                target=other.target,
                speedup=ratio,
                interval=(interval.low, interval.high),
                interval_confidence=interval.confidence,
            )
        )
    return ratios


def recipe_ratios(ledger: Ledger, rows: Sequence[Row]) -> list[RecipeRatioEntry]:
    """Return the ratios of all recipes of one run that shared blocks, for each target on each device."""
    groups: dict[tuple[str | None, str], list[Row]] = {}
    for row in rows:
        if row.summary and row.measurement_id is not None:
            groups.setdefault((row.device_id, row.target), []).append(row)
    ordered = [sorted(own, key=lambda row: (row.summary or {})["median"]) for own in groups.values()]
    pairs = [pair for own in ordered for pair in combinations(own, 2) if shared_blocks(*pair)]
    centres = ledger.session_centres({row.measurement_id or 0 for pair in pairs for row in pair})
    return [_recipe_ratio(faster, slower, centres) for faster, slower in pairs]


def _recipe_ratio(faster: Row, slower: Row, centres: Mapping[int, Mapping[int, float]]) -> RecipeRatioEntry:
    one, other = centres[slower.measurement_id or 0], centres[faster.measurement_id or 0]
    ratio, interval = paired_ratio(one, other)
    return RecipeRatioEntry(
        target=faster.target,
        device=faster.device or "",
        recipe=faster.recipe,
        variant=faster.variant,
        baseline=slower.recipe,
        baseline_variant=slower.variant,
        speedup=ratio,
        interval=(interval.low, interval.high),
        interval_confidence=interval.confidence,
        blocks=len(one.keys() & other.keys()),
    )


def shared_blocks(row: Row, other: Row) -> bool:
    """Return whether two measurements of a run took turns in the same blocks.

    Older ledgers do not say. There, the artifacts of a recipe did, and those of different recipes did not.
    """
    one, two = ((each.conditions or {}).get("shared_blocks") for each in (row, other))
    return bool(one == two and (one is not None or (row.recipe, row.variant) == (other.recipe, other.variant)))
