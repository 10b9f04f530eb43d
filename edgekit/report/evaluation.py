"""What ``edgekit evaluate`` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.evaluation.labels import LABELS
from edgekit.evaluation.metrics import format_comparison, format_estimate
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.sheet import Note, Report, Section

if TYPE_CHECKING:
    from edgekit.evaluation.document import EvaluateDocument, ResultEntry

NAMED_AT_MOST = 10
"""How many failed photos are printed; `--json` has all of them."""


def evaluation_report(document: EvaluateDocument) -> Report:
    """Return the table of an evaluation, with what it was compared with and the photos that failed."""
    data = document.data
    columns = [
        BY_KEY["target"].of(lambda result: result.target),
        *map(_metric, document.results[0].metrics),
        BY_KEY["accuracy_photos"].of(
            lambda result: result.n, lambda result: f"{result.n} of {data.photos}", shown=shown("always")
        ),
        BY_KEY["accuracy_kind"].of(lambda result: result.kind, heading="Kind", shown=shown("always")),
        BY_KEY["accuracy_device"].of(
            lambda result: result.device, lambda result: result.device or "this machine", shown=shown("always")
        ),
    ]
    compared = [
        format_comparison(result.target, result.comparison)
        for result in document.results
        if result.comparison is not None
    ]
    chosen = "all photos" if data.photos == data.available else f"a subset by seed {data.seed} of {data.available}"
    source = f"{data.format}: {data.photos} photos ({chosen}), subset {data.subset_sha256[:12]}; run {document.run}"
    title = f"{document.recipe} {document.variant} on {data.name}"
    notes = [*compared, source, *failed_photos(document)]
    return Report([Section(columns, document.results)], [Note(text) for text in notes], title)


def _metric(name: str) -> Column[ResultEntry]:
    return Column(
        f"metric_{name}",
        f"{LABELS[name]} [95 %]",
        lambda result: result.metrics[name].value,
        lambda result: format_estimate(result.metrics[name]),
        shown=shown("always"),
        rank=0,
    )


def failed_photos(document: EvaluateDocument) -> list[str]:
    """Return a line for each photo that failed, at most :data:`NAMED_AT_MOST` and how many more."""
    failed: dict[str, str] = {}
    for result in document.results:
        failed |= result.failed
    lines = [f"failed: {photo}: {message}" for photo, message in list(failed.items())[:NAMED_AT_MOST]]
    more = len(failed) - NAMED_AT_MOST
    return [*lines, f"failed: {more} more photos; --json names all"] if more > 0 else lines
