"""The questions that the ledger asks its database, as SQLAlchemy statements; they work on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Text, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from edgekit.ledger.schema import AccuracyRow, ArtifactRow, DeviceRow, FailureRow, MeasurementRow, RunRow, SessionRow

AT_ONCE = 5000
"""Values in one statement: SQLite takes at most 32,766."""
ID_DIGITS = 8
"""From how many digits on a name may also be the beginning of a device's id: tables show so many."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Filter:
    """Which measurements: those that match one of the names in every list; an empty list lets all through.

    `devices` are names of profiles, or ids of devices of which at least :data:`ID_DIGITS` digits are given.
    `protocols` are names. `since` and `until` are timezone-aware moments: only what finished between them.
    """

    run_id: str | None = None
    recipes: Collection[str] = ()
    devices: Collection[str] = ()
    targets: Collection[str] = ()
    protocols: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None


CONDITIONS: tuple[tuple[str, ...], ...] = (
    ("runner",),
    ("runner_version",),
    ("runner_sha256",),
    ("runtime_version",),
    ("threads",),
    ("cpu_features",),
    ("emulated",),
    ("before", "clock_rung"),
)
"""The conditions of a measurement that make it another cell: a newer one does not replace it."""
MEASUREMENT_COLUMNS: tuple[Any, ...] = (
    MeasurementRow.id,
    MeasurementRow.artifact_id,
    ArtifactRow.run_id,
    ArtifactRow.recipe,
    ArtifactRow.recipe_hash,
    ArtifactRow.variant,
    ArtifactRow.architecture,
    ArtifactRow.model_hash.label("model"),
    ArtifactRow.sha256.label("artifact_sha256"),
    MeasurementRow.target,
    MeasurementRow.device_id,
    MeasurementRow.protocol,
    MeasurementRow.kind,
    MeasurementRow.verdict,
    MeasurementRow.evidence,
    MeasurementRow.summary,
    MeasurementRow.conditions,
    MeasurementRow.started_at,
    MeasurementRow.finished_at,
)


def measurements(wanted: Filter, latest: bool) -> Select[Any]:
    """Select :data:`MEASUREMENT_COLUMNS` of finished measurements, newest first.

    `latest`: only the newest of each recipe, model, variant, target, device, protocol name and :data:`CONDITIONS`, of those
    that are wanted.
    """
    newest_first = (MeasurementRow.finished_at.desc(), MeasurementRow.id.desc())
    conditions = _conditions(wanted)
    if latest:
        model = (ArtifactRow.recipe, ArtifactRow.model_hash, ArtifactRow.variant)
        held = (MeasurementRow.conditions[path].as_string() for path in CONDITIONS)
        cell = (*model, MeasurementRow.target, MeasurementRow.device_id, MeasurementRow.protocol_name, *held)
        rank = func.row_number().over(partition_by=cell, order_by=newest_first).label("rank")
        ranked = select(MeasurementRow.id, rank).join(ArtifactRow).where(*conditions).subquery()
        conditions = [MeasurementRow.id.in_(select(ranked.c.id).where(ranked.c.rank == 1))]
    return select(*MEASUREMENT_COLUMNS).join(ArtifactRow).where(*conditions).order_by(*newest_first)


def artifacts(columns: Sequence[Any], run_id: str | None, latest: bool, until: datetime | None) -> Select[Any]:
    """Select columns of the artifacts until a moment, newest first.

    `latest`: the newest of each recipe, model, variant and target.
    """
    newest_first = (ArtifactRow.recorded_at.desc(), ArtifactRow.id.desc())
    conditions: list[ColumnElement[bool]] = [] if run_id is None else [ArtifactRow.run_id == run_id]
    conditions += [] if until is None else [ArtifactRow.recorded_at <= until]
    if latest:
        cell = (ArtifactRow.recipe, ArtifactRow.model_hash, ArtifactRow.variant, ArtifactRow.target)
        rank = func.row_number().over(partition_by=cell, order_by=newest_first).label("rank")
        ranked = select(ArtifactRow.id, rank).where(*conditions).subquery()
        conditions = [ArtifactRow.id.in_(select(ranked.c.id).where(ranked.c.rank == 1))]
    return select(*columns).where(*conditions).order_by(*newest_first)


def manifests(session: Session, artifact_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return each artifact's manifest. Equal ones are read once and shared: a cached artifact has a row in every run."""
    text = cast(ArtifactRow.manifest, Text).label("text")
    known: dict[str, dict[str, Any]] = {}
    found: dict[int, dict[str, Any]] = {}
    for ids in in_parts(sorted(set(artifact_ids))):
        for row in session.execute(select(ArtifactRow.id, text).where(ArtifactRow.id.in_(ids))):
            if row.text not in known:
                known[row.text] = json.loads(row.text)
            found[row.id] = known[row.text]
    return found


def run_counts(session: Session) -> dict[str, dict[str, int]]:
    """Return artifacts, measurements, accuracies and failures -> run -> how many of them it has."""
    measured = select(ArtifactRow.run_id, func.count()).join(
        MeasurementRow, MeasurementRow.artifact_id == ArtifactRow.id
    )
    asked: dict[str, Select[str, int]] = {
        "artifacts": select(ArtifactRow.run_id, func.count()).group_by(ArtifactRow.run_id),
        "measurements": measured.where(MeasurementRow.finished_at.is_not(None)).group_by(ArtifactRow.run_id),
        "accuracies": select(AccuracyRow.run_id, func.count()).group_by(AccuracyRow.run_id),
        "failures": select(FailureRow.run_id, func.count()).group_by(FailureRow.run_id),
    }
    return {name: {run: count for run, count in session.execute(query)} for name, query in asked.items()}  # noqa: C416


def session_centres(session: Session, measurement_ids: Iterable[int]) -> Iterator[tuple[int, int, float]]:
    """Yield measurement, block and centre in nanoseconds of every session that has one; no sample is read."""
    columns = (SessionRow.measurement_id, SessionRow.block, SessionRow.centre_ns)
    for ids in in_parts(sorted(set(measurement_ids))):
        query = select(*columns).where(SessionRow.measurement_id.in_(ids), SessionRow.centre_ns.is_not(None))
        for row in session.execute(query.order_by(*columns[:2])):
            yield row.measurement_id, row.block, row.centre_ns


def peak_memory(session: Session, measurement_ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield measurements and the largest resident memory of their sessions in kB, as the kernel counts it (1024 bytes)."""
    peak = func.max(SessionRow.environment["max_rss_kb"].as_integer()).label("peak")
    for ids in in_parts(sorted(set(measurement_ids))):
        query = select(SessionRow.measurement_id, peak).where(SessionRow.measurement_id.in_(ids))
        for row in session.execute(query.group_by(SessionRow.measurement_id)):
            if row.peak is not None:
                yield row.measurement_id, row.peak


def in_parts(items: Sequence[Item], size: int = AT_ONCE) -> Iterator[Sequence[Item]]:
    """Yield `items` in parts of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [MeasurementRow.finished_at.is_not(None)]
    if wanted.run_id is not None:
        conditions.append(ArtifactRow.run_id == wanted.run_id)
    if wanted.since is not None:
        conditions.append(MeasurementRow.finished_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(MeasurementRow.finished_at <= wanted.until)
    lists: tuple[tuple[InstrumentedAttribute[str], Collection[str]], ...] = (
        (ArtifactRow.recipe, wanted.recipes),
        (MeasurementRow.target, wanted.targets),
        (MeasurementRow.protocol_name, wanted.protocols),
    )
    conditions += [column.in_(names) for column, names in lists if names]
    if wanted.devices:
        named = DeviceRow.name.in_(wanted.devices)
        ids = [DeviceRow.id.startswith(name, autoescape=True) for name in wanted.devices if len(name) >= ID_DIGITS]
        conditions.append(MeasurementRow.device_id.in_(select(DeviceRow.id).where(or_(named, *ids))))
    return conditions


def identities(session: Session, run: RunRow) -> dict[str, str]:
    """Return profile -> hash of the identity of the device that it reached first in a run.

    Up to edgekit 0.1 a run has none in its plan. Then a device has the name of the profile that reached it last.
    """
    query = (
        select(DeviceRow.name, DeviceRow.id)
        .join(MeasurementRow, MeasurementRow.device_id == DeviceRow.id)
        .join(ArtifactRow)
        .where(ArtifactRow.run_id == run.id)
        .order_by(MeasurementRow.id.desc())
    )
    return {**{name: id for name, id in session.execute(query)}, **run.plan.get("identities", {})}  # noqa: C416


def session_counts(session: Session, run_id: str) -> tuple[int, int]:
    """Return how many sessions a run has of finished measurements, and of others."""
    finished = MeasurementRow.finished_at.is_not(None)
    query = (
        select(finished, func.count(SessionRow.id))
        .join(MeasurementRow, SessionRow.measurement_id == MeasurementRow.id)
        .join(ArtifactRow)
        .where(ArtifactRow.run_id == run_id)
        .group_by(finished)
    )
    counts = {bool(done): int(number) for done, number in session.execute(query)}
    return counts.get(True, 0), counts.get(False, 0)
