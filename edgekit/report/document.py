"""What ``--json`` prints: one schema for people's scripts, committed as JSON Schema in ``edgekit/schemas/``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.config.json_document import JsonDocument
from edgekit.ledger import Ledger
from edgekit.ledger.models import model_hash
from edgekit.ledger.records import AccuracyRecord, SessionRecord
from edgekit.report.cells import cached_path
from edgekit.report.columns import BY_KEY
from edgekit.report.ratios import RatioEntry, RecipeRatioEntry, precision_ratios, recipe_ratios
from edgekit.report.rows import Row, rows_of


class Part(BaseModel):
    """A part of the document; nothing is left out of it silently."""

    model_config = ConfigDict(extra="forbid")


class MeasurementEntry(Part):
    """A measured latency: milliseconds, batch 1, of the `scope` in its conditions. `kind` is always ``measured``.

    `model_hash` and `device_id` distinguish models and devices of the same name. `measured_at` is in UTC.
    `latency_ms` is the median of the sessions' medians, or of their means if `centre` says so.
    `p90_ms` has an upper bound, at `p90_upper_confidence`. If there are too few iterations for one, all three are null.
    What the device did not report is ``unknown``. `path` is the artifact in this machine's cache.
    `windows_ms` are the means of the parts of a sustained measurement, in order.
    `marks` are the sessions that were disturbed, `conditions` all that was stored of device and runner.
    """

    recipe: str
    variant: str
    model_hash: str
    target: str
    device: str
    device_id: str
    device_model: str
    os_build: str
    cpu: str
    cpu_architecture: str
    cpu_features: str
    clock_rung: str
    emulated: bool
    runner: str
    runner_version: str | None
    runtime: str
    runtime_version: str
    threads: int | str
    edgekit_version: str
    tools: str | None
    measured_at: str
    protocol: str
    kind: Literal["measured"] = "measured"
    latency_ms: float
    centre: Literal["median", "mean"]
    interval_ms: tuple[float, float]
    interval_confidence: float
    p90_ms: float | None
    p90_upper_ms: float | None
    p90_upper_confidence: float | None
    load_ms: float
    first_ms: float
    sessions: int
    iterations: int
    verdict: str
    evidence: str
    artifact_sha256: str
    path: str | None
    windows_ms: list[float]
    marks: list[dict[str, Any]]
    conditions: dict[str, Any]
    session_details: list[SessionEntry]


class SessionEntry(Part):
    """One fresh process: its block from 0 on, times in milliseconds, and what its runner and the watch saw.

    `marks` are what disturbed it. `environment` has the series of the watch, under `watch`, by columns.
    """

    block: int
    started_at: str | None
    load_ms: float
    first_ms: float
    median_ms: float | None
    runs: int
    marks: list[dict[str, Any]]
    environment: dict[str, Any]


class FailureEntry(Part):
    """Something that failed."""

    recipe: str
    variant: str
    target: str | None
    device: str | None
    kind: str
    stage: str
    message: str
    hint: str
    retriable: bool


class AccuracyEntry(Part):
    """The accuracy of exactly this artifact, in percent with its 95 % interval, on `photos` of a data set.

    `device` is null if it ran on the host.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None
    photos: int
    data_set: str
    subset_sha256: str
    kind: str
    device: str | None


class ArtifactEntry(Part):
    """An artifact that this run built or found in the cache; `measured` says whether it was timed here.

    `top1_this_artifact` is a classifier's, in percent, on the most photos; `accuracies` are the newest on each set of photos and
    device.
    """

    recipe: str
    variant: str
    target: str
    model_hash: str
    sha256: str
    build_key: str
    format: str
    size_bytes: int
    weights: str
    contract: str
    parameters: int
    multiply_adds: int
    delegate_partitions: int | None
    parity_kind: str
    parity_max_absolute: float
    parity_snr_db: float
    parity_top1_agreement: float | None
    measured: bool
    path: str | None
    top1_this_artifact: float | None
    accuracies: list[AccuracyEntry]


class RunDocument(JsonDocument):
    """One run of deploy or compile."""

    run: str
    measurements: list[MeasurementEntry]
    failures: list[FailureEntry]
    artifacts: list[ArtifactEntry]
    ratios: list[RatioEntry]
    recipe_ratios: list[RecipeRatioEntry]


def run_document(ledger: Ledger, run_id: str) -> RunDocument:
    """Return what the ledger knows of a run."""
    rows, accuracies = rows_of(ledger, run_id), _by_hash(ledger.accuracies())
    timed = {_known_by(row.manifest) for row in rows if row.status == "measured" and row.manifest}
    return RunDocument(
        run=run_id,
        measurements=[_measurement(ledger, row) for row in rows if row.status == "measured"],
        failures=[_failure(row) for row in rows if row.status == "failed"],
        artifacts=[_artifact(artifact.manifest, timed, accuracies) for artifact in ledger.artifacts(run_id)],
        ratios=precision_ratios(ledger, rows),
        recipe_ratios=recipe_ratios(ledger, rows),
    )


def _measurement(ledger: Ledger, row: Row) -> MeasurementEntry:
    """Return a row's columns; those that the document names otherwise are given."""
    values = {key: column.value(row) for key, column in BY_KEY.items() if key in MeasurementEntry.model_fields}
    return MeasurementEntry.model_validate(
        {
            **values,
            "latency_ms": BY_KEY["latency_ms_measured"].value(row),
            "centre": BY_KEY["latency_centre"].value(row),
            "interval_ms": (BY_KEY["interval_low_ms"].value(row), BY_KEY["interval_high_ms"].value(row)),
            "verdict": row.verdict,
            "evidence": row.evidence or "",
            "windows_ms": (row.summary or {}).get("windows", []),
            "marks": row.marks,
            "conditions": row.conditions or {},
            "session_details": [_session(one, row.marks) for one in ledger.sessions(row.measurement_id or 0)],
        }
    )


def _session(session: SessionRecord, marks: list[dict[str, Any]]) -> SessionEntry:
    reported = session.environment.get("told")
    return SessionEntry(
        block=session.block,
        started_at=session.started_at.isoformat() if session.started_at else None,
        load_ms=session.load_ns / 1e6,
        first_ms=session.first_ns / 1e6,
        median_ms=None if session.centre_ns is None else session.centre_ns / 1e6,
        runs=reported["runs"] if reported else len(session.samples),
        marks=[mark for mark in marks if mark["block"] == session.block],
        environment=session.environment,
    )


def _failure(row: Row) -> FailureEntry:
    assert row.failure
    cell, failure = row.failure, row.failure.failure
    return FailureEntry(
        recipe=cell.recipe,
        variant=cell.variant,
        target=cell.target,
        device=cell.device,
        kind=failure.kind,
        stage=failure.stage,
        message=failure.message,
        hint=failure.hint,
        retriable=failure.retriable,
    )


Known = tuple[str, str, str]
"""Hash, recipe and variant of an artifact: two recipes may build the same bytes."""


def _known_by(manifest: dict[str, Any]) -> Known:
    return (manifest["sha256"], manifest["recipe"], manifest["variant"])


def _by_hash(accuracies: list[AccuracyRecord]) -> dict[str, list[AccuracyEntry]]:
    """Return the newest accuracy of each artifact on each set of photos and device, that of the most photos first."""
    newest: dict[tuple[str, str, str | None], AccuracyEntry] = {}
    for accuracy in accuracies:
        same = {name: getattr(accuracy, name) for name in ("metric", "data_set", "subset_sha256", "kind", "device")}
        entry = AccuracyEntry(**same, photos=accuracy.n, **accuracy.metrics[accuracy.metric])
        newest.setdefault((accuracy.artifact_sha256, accuracy.subset_sha256, accuracy.device), entry)
    found: dict[str, list[AccuracyEntry]] = {}
    for (sha256, _, _), entry in sorted(newest.items(), key=lambda item: -item[1].photos):
        found.setdefault(sha256, []).append(entry)
    return found


def _artifact(manifest: dict[str, Any], timed: set[Known], accuracies: dict[str, list[AccuracyEntry]]) -> ArtifactEntry:
    """Return an artifact; `timed` are those that a measurement of the run is of."""
    parity, delegation = manifest["parity"], manifest["delegation"]
    same = {name: manifest[name] for name in ArtifactEntry.model_fields if name in manifest}
    found = accuracies.get(manifest["sha256"], [])
    return ArtifactEntry.model_validate(
        {
            **same,
            "model_hash": model_hash(manifest),
            "path": cached_path(manifest),
            "delegate_partitions": delegation["partitions"] if isinstance(delegation, dict) else None,
            "parity_kind": parity["kind"],
            "parity_max_absolute": parity["max_absolute"],
            "parity_snr_db": parity["snr_db"],
            "parity_top1_agreement": parity["top1_agreement"],
            "top1_this_artifact": next((accuracy.value for accuracy in found if accuracy.metric == "top1"), None),
            "accuracies": found,
            "measured": _known_by(manifest) in timed,
        }
    )
