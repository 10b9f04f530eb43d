"""The accuracy of a row's own artifact, as tables, CSV and JSON show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.evaluation.metrics import Estimate, format_estimate
from edgekit.evaluation.table import LABELS
from edgekit.ledger.records import AccuracyRecord
from edgekit.report.rows import Row

NOTE = (
    "Top-1 (this artifact): of exactly this file, with its 95 % interval (top-1: Wilson's; mAP and mIoU: bootstrap over photos), "
    "the number of photos and the data set."
)


def accuracy_cell(row: Row, unknown: str) -> str:
    """Return ``value [low, high], n photos of DATA``, with the metric if it is not top-1; `unknown` if nothing was evaluated."""
    if row.accuracy is None:
        return unknown
    found = row.accuracy
    metric = "" if found.metric == "top1" else f" {LABELS[found.metric].removesuffix(' %')}"
    where = f" on {found.device}" if found.device else ""
    return f"{format_estimate(chief(found))}{metric}, n={found.n}, {found.data_set}{where}"


def accuracy_columns(row: Row) -> dict[str, Any]:
    """Return the columns of the CSV; percent, and None if nothing was evaluated. `top1_this_artifact` is of classifiers."""
    found = row.accuracy
    estimate = chief(found) if found else None
    low, high = (estimate.interval if estimate else None) or (None, None)
    return {
        "top1_this_artifact": estimate.value if found and estimate and found.metric == "top1" else None,
        "accuracy_this_artifact": estimate.value if estimate else None,
        "accuracy_this_artifact_low": low,
        "accuracy_this_artifact_high": high,
        "accuracy_this_artifact_metric": found.metric if found else None,
        "accuracy_photos": found.n if found else None,
        "accuracy_data_set": found.data_set if found else None,
        "accuracy_subset_sha256": found.subset_sha256 if found else None,
        "accuracy_kind": found.kind if found else None,
        "accuracy_device": found.device if found else None,
    }


def accuracy_notes(rows: Sequence[Row]) -> list[str]:
    """Return what a reader has to know of the column: what it is, and that different photos do not compare."""
    found = [row.accuracy for row in rows if row.accuracy]
    notes = [NOTE] if found else []
    for metric in dict.fromkeys(one.metric for one in found):
        own = [one for one in found if one.metric == metric]
        subsets = {one.subset_sha256: f"{one.data_set} ({one.subset_sha256[:8]}, n={one.n})" for one in own}
        if len(subsets) > 1:
            label = LABELS[metric].removesuffix(" %")
            notes.append(f"{label} of different photos does not compare: {', '.join(subsets.values())}.")
    return notes


def chief(found: AccuracyRecord) -> Estimate:
    """Return the chief metric."""
    return Estimate.model_validate(found.metrics[found.metric])
