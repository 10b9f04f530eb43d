"""One row per cell of the accuracy-vs-latency table: measured, only compiled, or failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from edgekit import published
from edgekit.architectures.registry import ARCHITECTURES, Task
from edgekit.errors import FailureKind
from edgekit.ledger import Ledger
from edgekit.ledger.records import AccuracyRecord, ArtifactRecord, FailureRecord, MeasurementRecord
from edgekit.published import PHONES, Figure

PUBLISHED_CLASSES: dict[Task, set[int]] = {
    "classification": {1000, 1001},
    "detection": {81, 91},
    "segmentation": {19, 21},
}
"""Class counts of the networks that papers print figures of: ImageNet, COCO, Cityscapes and VOC."""


class Network(NamedTuple):
    """What a network is published as; `resolution` is ``224`` or ``1024x2048``, `precision` is ours."""

    model: str
    variant: str
    head: str
    width: float
    resolution: str
    precision: str


@dataclass(frozen=True)
class Row:
    """A recipe x target x device; what is unknown or does not apply is None."""

    recipe: str
    variant: str
    target: str
    status: Literal["measured", "compiled", "failed"]
    device: str | None = None
    protocol: str | None = None
    manifest: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    conditions: dict[str, Any] | None = None
    verdict: str | None = None
    evidence: str | None = None
    failure: FailureRecord | None = None
    measurement_id: int | None = None
    accuracy: AccuracyRecord | None = None
    device_id: str | None = None
    measured_at: datetime | None = None
    run: str | None = None
    recorded_at: datetime | None = None
    edgekit_version: str | None = None
    kind: str = "measured"
    model: str | None = None
    """The identity of the model, independent of recipe names: NETWORK-WEIGHTS; None if nothing was built."""
    namesake: bool = False
    """Whether another row has the same recipe name and variant, and another model."""

    @property
    def title(self) -> str:
        """Recipe and variant, for people; with the model's hash if another model shares them."""
        recipe = f"{self.recipe} #{self.model or 'not built'}" if self.namesake else self.recipe
        return f"{recipe} {self.variant}".rstrip()

    @property
    def name(self) -> str:
        """For people: recipe, variant and target; what a run's own failure does not have is left out."""
        return f"{self.title} {self.target}".rstrip()

    @property
    def device_label(self) -> str | None:
        """The profile's name and the first digits of the device's id: two phones may be measured as ``pixel``."""
        return f"{self.device} {self.device_id[:8]}" if self.device_id else self.device

    @property
    def emulated(self) -> bool | None:
        """Whether it was measured on an emulated device; None if it was not measured."""
        return bool(self.conditions.get("emulated")) if self.conditions else None

    @property
    def source(self) -> str | None:
        """Where imported results were measured; None if edgekit measured them itself, or nothing was measured."""
        found = (self.conditions or {}).get("imported")
        return str(found["source"]) if found else None

    @property
    def clock_rung(self) -> str | None:
        """How the clocks were held during the measurement; None if it was not measured."""
        return str(self.conditions["before"].get("clock_rung", "unknown")) if self.conditions else None

    @property
    def setup(self) -> tuple[str | None, ...]:
        """Device, protocol and conditions: a column of a table may hold only rows that share them."""
        found = self.conditions or {}
        runner = (found.get("runner"), found.get("runner_sha256"))
        same = (*runner, found.get("threads"), self.clock_rung, self.emulated, self.source)
        return (self.device_label, self.protocol, *(None if value is None else str(value) for value in same))

    @property
    def runtime(self) -> str:
        """Runtime and delegate: ``tflite/xnnpack``."""
        return self.target.rsplit("/", 1)[0]

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""
        return self.target.rsplit("/", 1)[-1]

    @property
    def network(self) -> Network | None:
        """What figures of this network are published under.

        None if its recipe names no paper, or if it is another network: with a new head or another class count.
        """
        if not self.manifest or not self.manifest.get("published") or not is_published_network(self.manifest):
            return None
        names, model = self.manifest["published"], self.manifest["model"]
        resolution = self.variant.split("/")[1]
        head, variant = names.get("head", ""), names.get("variant", "")
        return Network(names["model"], variant, head, model["width"], resolution, self.precision)

    @property
    def published(self) -> tuple[Figure, ...]:
        """What was published for this model at this precision, all sources."""
        network = self.network
        return published.find(**network._asdict()) if network else ()

    @property
    def paper(self) -> dict[str, Figure]:
        """Phone -> the MobileNetV3 paper's figure at this precision."""
        rows = [row for row in self.published if published.is_paper_column(row, self.precision) and row.latency_ms]
        return {row.device: row for row in rows if row.device in PHONES}

    @property
    def published_accuracy(self) -> tuple[float, float, str] | None:
        """The lowest and the highest published accuracy, and its metric: of the sources' weights, not of this artifact."""
        return published.accuracy_range(self.published, self.precision)

    @property
    def marks(self) -> list[dict[str, Any]]:
        """What disturbed sessions, as :class:`edgekit.measure.disturbances.Mark` writes it."""
        return list((self.conditions or {}).get("marks", ()))

    @property
    def result(self) -> str:
        """The verdict, ``compiled``, or the failure's label."""
        if self.failure:
            return FailureKind(self.failure.failure.kind).label
        return self.verdict or "compiled only"


def is_published_network(manifest: dict[str, Any]) -> bool:
    """Return whether published figures are of an artifact's network; random weights of it keep them, and tables name those."""
    known = ARCHITECTURES.get(manifest["architecture"])
    classes = manifest["model"].get("classes", 1000)
    return (
        "new head" not in manifest["weights"]
        and classes in PUBLISHED_CLASSES[known.task if known else "classification"]
    )


def comparable(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by table: imported results, emulated devices and other clock settings have separate tables.

    Heading -> rows. There is no heading if all rows share a table. Sources: docs/architecture.md.
    """
    parts: dict[str, list[Row]] = {}
    for row in rows:
        measured = "Emulated devices" if row.emulated else f"Clocks: {row.clock_rung}"
        measured = f"Imported from {row.source}. {measured}" if row.source else measured
        parts.setdefault("Not measured" if row.emulated is None else measured, []).append(row)
    return parts if len(parts.keys() - {"Not measured"}) > 1 else {"": list(rows)}


def rows_of(ledger: Ledger, *runs: str, until: datetime | None = None) -> list[Row]:
    """Return the rows of some runs, or the latest of everything in the ledger, ordered by recipe, target and device.

    With `until`, a timezone-aware moment, newer measurements, artifacts and failures do not exist. Later accuracies do:
    an accuracy is of an artifact's bytes, whenever it was evaluated.
    """
    parts: Sequence[str | None] = runs or (None,)
    rows = [row for run in parts for row in _rows_of(ledger, run, until)]
    shared, accuracies = _shared_names(rows), by_artifact(ledger.accuracies())
    versions = {run.id: run.edgekit_version for run in ledger.runs()} if rows else {}
    rows = [
        replace(
            row,
            accuracy=accuracy_of(row, accuracies),
            namesake=(row.recipe, row.variant) in shared,
            edgekit_version=versions.get(row.run or ""),
        )
        for row in rows
    ]
    return sorted(rows, key=_order)


def _rows_of(ledger: Ledger, run: str | None, until: datetime | None) -> list[Row]:
    """Return the rows of a run, or the latest of everything, without what they have from other rows."""
    latest = run is None
    failures = ledger.failures(
        run, latest=True, until=until
    )  # also of a run: failures that its resumption settled do not count
    failing = dict.fromkeys(failure.run_id for failure in failures)
    built = {_key(artifact): artifact for own in failing for artifact in reversed(ledger.artifacts(own))}
    rows = [_measured(measurement) for measurement in ledger.measurements(run, latest=latest, until=until)]
    rows += [_failed(failure, built.get(_key(failure))) for failure in failures]
    return rows + _only_compiled(rows, ledger.artifacts(run, latest=latest, until=until))


def _only_compiled(rows: Sequence[Row], artifacts: Sequence[ArtifactRecord]) -> list[Row]:
    """Return a row for each artifact that no other row is about."""
    known: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        known.setdefault((row.recipe, row.variant, row.target), []).append(row)
    return [
        _compiled(artifact)
        for artifact in artifacts
        if not any(
            _covers(row, artifact) for row in known.get((artifact.recipe, artifact.variant, artifact.target), ())
        )
    ]


def _order(row: Row) -> tuple[str, ...]:
    model = (row.model or "") if row.namesake else ""
    return (row.recipe, row.variant, model, row.target, row.device or "", row.device_id or "", row.protocol or "")


def _covers(row: Row, artifact: ArtifactRecord) -> bool:
    """Return whether a row is already the result of the artifact's cell."""
    if row.manifest or not row.failure:
        return row.model == artifact.model
    return row.failure.may_be_of(artifact.manifest)


def _shared_names(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Return the recipe names, with variants, under which there are several models."""
    models: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row.model:
            models.setdefault((row.recipe, row.variant), set()).add(row.model)
    others = {
        (row.recipe, row.variant)
        for row in rows
        if row.failure and not row.manifest and row.failure.networks
        if any(
            model.partition("-")[0] not in row.failure.networks for model in models.get((row.recipe, row.variant), ())
        )
    }
    return {name for name, found in models.items() if len(found) > 1} | others


Accuracies = Mapping[tuple[str, str], Sequence[AccuracyRecord]]
"""Hash and target of an artifact -> its accuracies, on the most photos first, and the newest of equally many."""


def by_artifact(accuracies: Sequence[AccuracyRecord]) -> Accuracies:
    """Return accuracies, which come newest first, by their artifacts."""
    found: dict[tuple[str, str], list[AccuracyRecord]] = {}
    for accuracy in sorted(accuracies, key=lambda accuracy: -accuracy.n):
        found.setdefault((accuracy.artifact_sha256, accuracy.target), []).append(accuracy)
    return found


def accuracy_of(row: Row, accuracies: Accuracies) -> AccuracyRecord | None:
    """Return an accuracy of exactly the row's artifact: on the most photos, the newest of equally many.

    What the row's device computed comes first, then what the host computed; never what another device did.
    A row that a tool timed on another delegate has none: that may compute something else.
    """
    if row.manifest is None:
        return None
    own = accuracies.get((row.manifest["sha256"], row.target), ())
    there = (accuracy for accuracy in own if accuracy.device_id is not None and accuracy.device_id == row.device_id)
    return next(there, next((accuracy for accuracy in own if accuracy.device is None), None))


def _key(record: ArtifactRecord | FailureRecord) -> tuple[str, str, str, str | None]:
    return (record.run_id, record.recipe, record.variant, record.target)


def _measured(measurement: MeasurementRecord) -> Row:
    return Row(
        recipe=measurement.recipe,
        variant=measurement.variant,
        target=measurement.target,
        status="measured",
        device=measurement.device_name,
        protocol=measurement.protocol["name"],
        manifest=measurement.manifest,
        summary=_bounded(measurement.summary),
        conditions=measurement.conditions,
        verdict=measurement.verdict,
        evidence=measurement.evidence,
        measurement_id=measurement.id,
        device_id=measurement.device_id,
        measured_at=measurement.finished_at,
        run=measurement.run_id,
        kind=measurement.kind,
        model=measurement.model,
        recorded_at=measurement.finished_at,
    )


def _compiled(artifact: ArtifactRecord) -> Row:
    return Row(
        artifact.recipe,
        artifact.variant,
        artifact.target,
        "compiled",
        manifest=artifact.manifest,
        run=artifact.run_id,
        recorded_at=artifact.recorded_at,
        model=artifact.model,
    )


def _failed(failure: FailureRecord, artifact: ArtifactRecord | None) -> Row:
    """Return a row that keeps the artifact and parity from before the failure."""
    manifest = artifact.manifest if artifact else None
    target = failure.target or "all"
    return Row(
        failure.recipe,
        failure.variant,
        target,
        "failed",
        device=failure.device,
        manifest=manifest,
        failure=failure,
        run=failure.run_id,
        recorded_at=failure.at,
        model=artifact.model if artifact else None,
    )


def _bounded(summary: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a summary whose p90 has a bound with its confidence, or is None.

    Ledgers of edgekit 0.1 hold some without a bound, and bounds of 95 % without their confidence.
    """
    if summary is None or summary.get("p90_upper") is not None:
        return summary and {"p90_confidence": 0.95, **summary}
    return {**summary, "p90": None, "p90_upper": None, "p90_confidence": None}
