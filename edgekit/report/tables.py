"""The accuracy-vs-latency table of what the ledger holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgekit.report import terminal as terminal_module
from edgekit.report import text
from edgekit.report.column import Column
from edgekit.report.columns import COLUMNS, COMPILED
from edgekit.report.decisions import decision_lines
from edgekit.report.filters import best_first
from edgekit.report.notes import notes
from edgekit.report.rows import Row, comparable
from edgekit.report.sheet import Note, Report, Section

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgekit.report.ratios import RatioEntry, RecipeRatioEntry

EMPTY = "The ledger holds no result yet; `edgekit deploy recipes/v3_large.yaml --device host` makes one."
EVERYTHING = "edgekit report --format csv"
"""The command that shows all columns of what the ledger holds."""


def overview(
    rows: Sequence[Row],
    *,
    title: str = "",
    sort: str | None = None,
    keys: Sequence[str] = (),
    columns: Sequence[Column[Row]] = COLUMNS,
) -> Report:
    """Return the table, in several sections if latencies may not be compared; the best rows come first.

    `sort` and `keys` are keys of :data:`COLUMNS`; UsageError if there is no such column.
    """
    sections = [Section(columns, own, heading) for heading, own in comparable(best_first(rows, sort)).items()]
    return Report(sections, notes(rows), title, EMPTY, keys)


def csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV with a header; unknown values are empty."""
    return text.csv(overview(rows))


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as Markdown with its notes."""
    return text.markdown(overview(rows))


def terminal(
    rows: Sequence[Row],
    ratios: Sequence[RatioEntry],
    title: str,
    width: int,
    recipe_ratios: Sequence[RecipeRatioEntry] = (),
) -> RenderableType:
    """Return a run's table for a terminal `width` columns wide. What other sources print is in the Markdown only."""
    report = overview(rows, title=title, columns=_columns(rows))
    lines = [*ratio_lines(ratios), *recipe_ratio_lines(recipe_ratios), *decision_lines(rows)]
    return terminal_module.terminal(replace(report, notes=[*report.notes, *map(Note, lines)]), width, EVERYTHING)


def _columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Return the columns of a run: its own if it timed nothing, and the recipe only if there are several."""
    timed = any(row.summary or row.device for row in rows)
    several = len({row.title for row in rows}) > 1
    return [column for column in (COLUMNS if timed else COMPILED) if several or column.key != "recipe"]


def ratio_lines(ratios: Sequence[RatioEntry]) -> list[str]:
    """Return a sentence per pair of precisions that one run measured in turns."""
    return [
        f"{ratio.recipe} {ratio.variant} on {ratio.device}: {ratio.target} is "
        f"{_times_as_fast(ratio)} {ratio.baseline} (paired by block{_confidence(ratio)})."
        for ratio in ratios
    ]


def recipe_ratio_lines(ratios: Sequence[RecipeRatioEntry]) -> list[str]:
    """Return a sentence per recipe that one run measured in turns with the fastest one of the same target and device."""
    slower = {(ratio.device, ratio.target, ratio.baseline, ratio.baseline_variant) for ratio in ratios}
    fastest = [ratio for ratio in ratios if (ratio.device, ratio.target, ratio.recipe, ratio.variant) not in slower]
    return [
        f"{ratio.target} on {ratio.device}: {ratio.recipe} {ratio.variant} is {_times_as_fast(ratio)} {ratio.baseline} "
        f"{ratio.baseline_variant} (paired by {ratio.blocks} blocks{_confidence(ratio)})."
        for ratio in fastest
    ]


def _times_as_fast(ratio: RatioEntry | RecipeRatioEntry) -> str:
    low, high = ratio.interval
    interval = f" [{low:.2f}, {high:.2f}]" if ratio.interval_confidence else ""
    return f"{ratio.speedup:.2f}{interval} times as fast as"


def _confidence(ratio: RatioEntry | RecipeRatioEntry) -> str:
    return f", {ratio.interval_confidence:.0%} interval" if ratio.interval_confidence else ": one, so no interval"
