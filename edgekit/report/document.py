"""What ``--json`` prints: one schema for people's scripts, committed as JSON Schema in ``edgekit/schemas/``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.ledger import Ledger
from edgekit.ledger.models import model_hash
from edgekit.ledger.records import AccuracyRecord, SessionRecord
from edgekit.measure.statistics import Told, paired_ratio, session_centre
from edgekit.printed import Printed
from edgekit.report.rows import Row, rows_of


class Part(BaseModel):
    """A part of the document; nothing is left out of it silently."""

    model_config = ConfigDict(extra="forbid")


class MeasurementEntry(Part):
    """A measured latency: milliseconds, inference only, batch 1. `kind` is always ``measured``.

    `model_hash` and `device_id` tell models and devices of the same name apart. `measured_at` is in UTC.
    `latency_ms` is the median of the sessions' medians, or of their means where `centre` says so.
    """

    recipe: str
    variant: str
    model_hash: str
    target: str
    device: str
    device_id: str
    device_model: str
    os_build: str
    measured_at: str
    protocol: str
    kind: Literal["measured"] = "measured"
    latency_ms: float
    centre: Literal["median", "mean"]
    interval_ms: tuple[float, float]
    interval_confidence: float
    p90_ms: float | None
    p90_upper_ms: float | None
    load_ms: float
    first_ms: float
    sessions: int
    iterations: int
    verdict: str
    evidence: str
    artifact_sha256: str


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
    parity_top1_agreement: float
    measured: bool
    top1_this_artifact: float | None
    accuracies: list[AccuracyEntry]


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


class RunDocument(Printed):
    """One run of deploy or compile."""

    run: str
    measurements: list[MeasurementEntry]
    failures: list[FailureEntry]
    artifacts: list[ArtifactEntry]
    ratios: list[RatioEntry]


def run_document(ledger: Ledger, run_id: str) -> RunDocument:
    """Return what the ledger knows of a run."""
    rows, accuracies = rows_of(ledger, run_id), ledger.accuracies()
    return RunDocument(
        run=run_id,
        measurements=[_measurement(row) for row in rows if row.status == "measured"],
        failures=[_failure(row) for row in rows if row.status == "failed"],
        artifacts=[_artifact(artifact.manifest, rows, accuracies) for artifact in ledger.artifacts(run_id)],
        ratios=precision_ratios(ledger, rows),
    )


def precision_ratios(ledger: Ledger, rows: list[Row]) -> list[RatioEntry]:
    """Return fp32 over int8 for every recipe and runtime of one run that was measured at both, paired by block."""
    measured = {
        (row.recipe, row.variant, row.device, row.target): row for row in rows if row.measurement_id is not None
    }
    ratios = []
    for (recipe, variant, device, target), row in measured.items():
        other = measured.get((recipe, variant, device, target.replace("/fp32", "/int8")))
        if row.precision != "fp32" or other is None or row.measurement_id is None or other.measurement_id is None:
            continue
        slower, faster = (
            {session.block: _centre(session) for session in ledger.sessions(id)}
            for id in (row.measurement_id, other.measurement_id)
        )
        ratio, interval = paired_ratio(slower, faster)
        ratios.append(
            RatioEntry(
                recipe=recipe,
                variant=variant,
                device=device or "",
                baseline=target,
                target=other.target,
                speedup=ratio,
                interval=(interval.low, interval.high),
                interval_confidence=interval.confidence,
            )
        )
    return ratios


def _centre(session: SessionRecord) -> float:
    told = session.environment.get("told")
    return session_centre(session.samples, Told.model_validate(told) if told else None)


def _measurement(row: Row) -> MeasurementEntry:
    assert row.summary and row.manifest and row.device and row.protocol and row.verdict
    summary, interval = row.summary, row.summary["interval"]
    return MeasurementEntry(
        recipe=row.recipe,
        variant=row.variant,
        model_hash=row.model or "",
        target=row.target,
        device=row.device,
        device_id=row.device_id or "",
        device_model=str((row.conditions or {}).get("model", "unknown")),
        os_build=str((row.conditions or {}).get("os_build", "unknown")),
        measured_at=row.measured_at.isoformat() if row.measured_at else "",
        protocol=row.protocol,
        latency_ms=summary["median"],
        centre=summary.get("centre", "median"),
        interval_ms=(interval["low"], interval["high"]),
        interval_confidence=interval["confidence"],
        p90_ms=summary["p90"],
        p90_upper_ms=summary["p90_upper"],
        load_ms=summary["load"],
        first_ms=summary["first"],
        sessions=summary["sessions"],
        iterations=summary["iterations"],
        verdict=row.verdict,
        evidence=row.evidence or "",
        artifact_sha256=row.manifest["sha256"],
    )


def _failure(row: Row) -> FailureEntry:
    assert row.failure
    told = row.failure
    return FailureEntry(
        recipe=told.recipe,
        variant=told.variant,
        target=told.target,
        device=told.device,
        kind=told.failure.kind,
        stage=told.failure.stage,
        message=told.failure.message,
        hint=told.failure.hint,
        retriable=told.failure.retriable,
    )


def _is_of(row: Row, manifest: dict[str, object]) -> bool:
    """Say whether a row is of an artifact, as whatever it was timed."""
    same = row.manifest is not None and row.manifest["sha256"] == manifest["sha256"]
    return same and (row.recipe, row.variant) == (manifest["recipe"], manifest["variant"])


def _accuracies(manifest: dict[str, object], accuracies: list[AccuracyRecord]) -> list[AccuracyEntry]:
    """Return the newest accuracy of an artifact on each set of photos and device, that of the most photos first."""
    newest: dict[tuple[str, str | None], AccuracyEntry] = {}
    for one in accuracies:
        if one.artifact_sha256 == manifest["sha256"]:
            same = {name: getattr(one, name) for name in ("metric", "data_set", "subset_sha256", "kind", "device")}
            entry = AccuracyEntry(**same, photos=one.n, **one.metrics[one.metric])
            newest.setdefault((one.subset_sha256, one.device), entry)
    return sorted(newest.values(), key=lambda one: -one.photos)


def _artifact(manifest: dict[str, object], rows: list[Row], accuracies: list[AccuracyRecord]) -> ArtifactEntry:
    parity, delegation = manifest["parity"], manifest["delegation"]
    same = {name: manifest[name] for name in ArtifactEntry.model_fields if name in manifest}
    assert isinstance(parity, dict)
    found = _accuracies(manifest, accuracies)
    return ArtifactEntry.model_validate(
        {
            **same,
            "model_hash": model_hash(manifest),
            "delegate_partitions": delegation["partitions"] if isinstance(delegation, dict) else None,
            "parity_kind": parity["kind"],
            "parity_max_absolute": parity["max_absolute"],
            "parity_snr_db": parity["snr_db"],
            "parity_top1_agreement": parity["top1_agreement"],
            "top1_this_artifact": next((one.value for one in found if one.metric == "top1"), None),
            "accuracies": found,
            "measured": any(row.status == "measured" and _is_of(row, manifest) for row in rows),
        }
    )
