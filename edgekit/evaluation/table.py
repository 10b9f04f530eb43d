"""What ``edgekit evaluate`` prints for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.evaluation.document import EvaluateDocument
from edgekit.evaluation.labels import LABELS
from edgekit.evaluation.metrics import format_comparison, format_estimate

NAMED_AT_MOST = 10
"""How many failed photos are printed; `--json` has all of them."""


def printed(document: EvaluateDocument) -> RenderableType:
    """Return the table of an evaluation, with what it was compared with and the photos that failed."""
    data = document.data
    table = Table(
        title=f"{document.recipe} {document.variant} on {data.name}", title_justify="left", title_style="bold"
    )
    metrics = list(document.results[0].metrics)
    for column in ("target", *(f"{LABELS[name]} [95 %]" for name in metrics), "photos", "kind", "device"):
        table.add_column(column)
    for result in document.results:
        values = [format_estimate(result.metrics[name]) for name in metrics]
        counted = f"{result.n} of {data.photos}"
        table.add_row(result.target, *values, counted, result.kind, result.device or "this machine")
    lines = [
        format_comparison(result.target, result.comparison)
        for result in document.results
        if result.comparison is not None
    ]
    chosen = "all photos" if data.photos == data.available else f"a subset by seed {data.seed} of {data.available}"
    lines.append(
        f"{data.format}: {data.photos} photos ({chosen}), subset {data.subset_sha256[:12]}; run {document.run}"
    )
    return Group(table, *(Text(f"- {line}") for line in (*lines, *failures(document))))


def failures(document: EvaluateDocument) -> list[str]:
    """Return a line for each photo that failed, at most :data:`NAMED_AT_MOST` and how many more."""
    failed: dict[str, str] = {}
    for result in document.results:
        failed |= result.failed
    lines = [f"failed: {photo}: {message}" for photo, message in list(failed.items())[:NAMED_AT_MOST]]
    more = len(failed) - NAMED_AT_MOST
    return [*lines, f"failed: {more} more photos; --json names all"] if more > 0 else lines
