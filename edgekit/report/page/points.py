"""The measurements as points of the plots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from edgekit.report import cells
from edgekit.report.columns import BY_KEY
from edgekit.report.page.document import Answer, Device, Point
from edgekit.report.rows import Row


def measured(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have a latency."""
    return [row for row in rows if row.summary and row.measurement_id is not None]


def devices_of(rows: Sequence[Row]) -> list[Device]:
    """Return the devices of measured rows in the order of their labels."""
    found = {
        row.device_id: Device(
            id=row.device_id,
            label=row.device_label or row.device_id,
            model=str((row.conditions or {}).get("model", "unknown")),
        )
        for row in rows
        if row.device_id is not None
    }
    return sorted(found.values(), key=lambda device: device.label)


def with_published_accuracies(rows: Sequence[Row], answers: Mapping[str, Answer]) -> set[str]:
    """Return the devices whose plot has published accuracies, because none was measured of what takes part there."""
    decided = {device: answer.kind == "published" for device, answer in answers.items() if answer.kind != "none"}
    evaluated = {row.device_id for row in rows if row.accuracy}
    devices = {row.device_id for row in rows if row.device_id is not None}
    return {device for device in devices if decided.get(device, device not in evaluated)}


def points_of(rows: Sequence[Row], excluded: Mapping[int, str], published: Collection[str]) -> list[Point]:
    """Return a point for each measured row.

    `excluded` maps measurements to why they take no part. On `published` devices the points have published accuracies.
    """
    return [_point(row, excluded.get(row.measurement_id or 0, ""), row.device_id in published) for row in rows]


def _point(row: Row, excluded: str, only_published: bool) -> Point:
    assert row.summary and row.manifest and row.measurement_id is not None
    assert row.device_id is not None
    interval, weights = row.summary["interval"], str(row.manifest["weights"])
    known = _published(row) if only_published else _evaluated(row)
    column = BY_KEY["accuracy_published_low" if only_published else "accuracy_this_artifact"]
    return Point(
        id=row.measurement_id,
        title=row.title,
        target=row.target,
        device=row.device_id,
        latency=row.summary["median"],
        low=interval["low"],
        high=interval["high"],
        latency_text=BY_KEY["latency_ms_measured"].cell(row).replace("]", "] ms", 1),
        accuracy=known.value if known else None,
        accuracy_low=known.low if known else None,
        accuracy_high=known.high if known else None,
        accuracy_kind=known.kind if known else "",
        accuracy_text=f"{column.cell(row)} % ({column.kind})" if known else "not known",
        metric=known.metric if known else "",
        size=row.manifest["size_bytes"],
        size_text=f"{BY_KEY['size_bytes'].cell(row)} MB",
        multiply_adds=row.manifest.get("multiply_adds"),
        result=row.result,
        kind=row.kind,
        weights=weights,
        random=weights.startswith("random"),
        excluded=excluded,
    )


class _Accuracy(NamedTuple):
    value: float
    low: float
    high: float
    kind: str
    metric: str


def _evaluated(row: Row) -> _Accuracy | None:
    if row.accuracy is None:
        return None
    value = cells.chief(row.accuracy)
    low, high = cells.interval_of(row.accuracy) or (value, value)
    return _Accuracy(value, low, high, row.accuracy.kind, cells.metric_name(row.accuracy.metric))


def _published(row: Row) -> _Accuracy | None:
    """Return the middle of what the sources print, and their range."""
    if row.published_accuracy is None:
        return None
    low, high, metric = row.published_accuracy
    return _Accuracy((low + high) / 2, low, high, "published", metric.removesuffix(" %"))
