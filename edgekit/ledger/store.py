"""The ledger as the rest of edgekit sees it: a few things to record and a few questions to ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from uuid import uuid4

from sqlalchemy import Engine, RowMapping, delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from edgekit import __version__
from edgekit.errors import EdgekitError, Failure, FailureKind
from edgekit.ledger import queries
from edgekit.ledger.database import damaged, open_database, place, refusal
from edgekit.ledger.failures import failure_record, newest_failures, unsettled
from edgekit.ledger.models import model_hash, planned_networks
from edgekit.ledger.queries import Filter
from edgekit.ledger.records import (
    AccuracyRecord,
    ArtifactRecord,
    DeviceRecord,
    FailureRecord,
    MeasurementRecord,
    RunCounts,
    RunRecord,
    SessionRecord,
)
from edgekit.ledger.samples import NANOSECONDS, centre_ns
from edgekit.ledger.schema import (
    AccuracyRow,
    ArtifactRow,
    Base,
    DeviceRow,
    FailureRow,
    MeasurementRow,
    RunRow,
    SessionRow,
    utc_now,
)

ARTIFACT_FIELDS = (
    "sha256",
    "build_key",
    "recipe",
    "recipe_hash",
    "variant",
    "architecture",
    "target",
    "format",
    "size_bytes",
)

Row = TypeVar("Row", bound=Base)


class Ledger:
    """A ledger that is open. Every method may raise EdgekitError (kind ledger or disk_full) when the database refuses.

    Each recording is committed, to the disk, before its method returns.
    """

    def __init__(self, engine: Engine) -> None:
        self._reader = engine
        self._writer = engine.execution_options(writes=True)
        self._place = place(engine.url)

    @classmethod
    def open(cls, url: str | None = None, must_exist: bool = False) -> Self:
        """Open the ledger at an SQLAlchemy URL and bring its tables up to date; a new one is created.

        None means `EDGEKIT_LEDGER`, else `ledger.sqlite` in the user's data directory. EdgekitError (ledger, disk_full) if it
        cannot be opened. A file that is not a ledger, or is a newer edgekit's, is not changed.
        UsageError if the ledger `must_exist` and does not.
        """
        return cls(open_database(url, must_exist))

    def close(self) -> None:
        """Let go of the database."""
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin_run(self, command: str, seed: int, protocol: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
        """Record that a run begins now and return its id, 12 hexadecimal digits."""
        run_id = uuid4().hex[:12]
        self._add(
            RunRow(
                id=run_id,
                started_at=utc_now(),
                command=command,
                seed=seed,
                protocol=dict(protocol),
                plan=dict(plan),
                edgekit_version=__version__,
                status="running",
            )
        )
        return run_id

    def finish_run(self, run_id: str, status: Literal["done", "failed", "interrupted"]) -> None:
        """Record how a run ended, now. A run that is resumed may be finished again."""
        with self._session(self._writer) as session:
            run = self._get(session, RunRow, run_id)
            run.finished_at = utc_now()
            run.status = status

    def restart_run(self, run_id: str, plan: Mapping[str, Any], gone: Mapping[str, Any] | None = None) -> bool:
        """Record that a run continues, by `plan`, which may name a new process.

        Returns False and records nothing if it runs in a process other than the `gone` one of its plan.
        """
        with self._session(self._writer) as session:
            run = self._get(session, RunRow, run_id)
            if run.status == "running" and run.plan.get("process") != gone:
                return False
            run.finished_at, run.status, run.plan = None, "running", dict(plan)
        return True

    def identify_device(self, run_id: str, name: str, identity: str) -> str:
        """Record which device a profile reached in a run, by the hash of its identity. Return the first that it reached."""
        with self._session(self._writer) as session:
            run = self._get(session, RunRow, run_id)
            known = queries.identities(session, run)
            known.setdefault(name, identity)
            if run.plan.get("identities") != known:
                run.plan = {**run.plan, "identities": known}
            return known[name]

    def identities(self, run_id: str) -> dict[str, str]:
        """Return profile -> hash of the identity of the device that it reached first in a run."""
        with self._session(self._reader) as session:
            return queries.identities(session, self._get(session, RunRow, run_id))

    def record_artifact(self, run_id: str, manifest: Mapping[str, Any]) -> int:
        """Record what a run built by its manifest, which has at least ARTIFACT_FIELDS, and return its id.

        Again for the same run, recipe and target: the newer manifest counts, the id stays.
        """
        if missing := [field for field in ARTIFACT_FIELDS if field not in manifest]:
            raise EdgekitError(FailureKind.ledger, "ledger", f"The manifest lacks {', '.join(missing)}.")
        facts = {field: manifest[field] for field in ARTIFACT_FIELDS}
        key = {"run_id": run_id, **{name: facts[name] for name in ("recipe", "recipe_hash", "target")}}
        with self._session(self._writer) as session:
            known = session.scalar(select(ArtifactRow.id).filter_by(**key))
            row = ArtifactRow(id=known, run_id=run_id, **facts, manifest=dict(manifest))
            row.model_hash, row.recorded_at = model_hash(manifest), utc_now()
            merged = session.merge(row)
        return merged.id

    def record_device(self, identity: str, name: str, info: Mapping[str, Any]) -> None:
        """Record a device by the hash of its identity; again: the newer profile name and info count."""
        with self._session(self._writer) as session:
            session.merge(DeviceRow(id=identity, name=name, info=dict(info)))

    def begin_measurement(
        self,
        artifact_id: int,
        device_id: str,
        target: str,
        protocol: Mapping[str, Any],
        at: datetime | None = None,
    ) -> int:
        """Record that a measurement begins and return its id; artifact and device must be recorded before.

        `protocol` has at least a `name`. `at` is when it began (timezone-aware); None means now.
        """
        row = MeasurementRow(
            artifact_id=artifact_id,
            device_id=device_id,
            target=target,
            protocol=dict(protocol),
            protocol_name=protocol["name"],
            kind="measured",
            started_at=at or utc_now(),
        )
        self._add(row)
        return row.id

    def add_session(
        self,
        measurement_id: int,
        block: int,
        *,
        load_ns: int,
        first_ns: int,
        samples: Sequence[int],
        environment: Mapping[str, Any],
        started_at: datetime | None = None,
        replace: bool = False,
    ) -> None:
        """Record one session of a measurement: load, first inference and every sample in nanoseconds.

        With `replace`, it takes the place of the session of the same block.
        `started_at` is when its process started on the clock of this computer (timezone-aware); None means unknown.
        """
        row = SessionRow(
            measurement_id=measurement_id,
            block=block,
            started_at=started_at,
            load_ns=load_ns,
            first_ns=first_ns,
            samples=list(samples),
            centre_ns=centre_ns(samples, dict(environment)),
            environment=dict(environment),
        )
        with self._session(self._writer) as session:
            if replace:
                same = (SessionRow.measurement_id == measurement_id, SessionRow.block == block)
                session.execute(delete(SessionRow).where(*same))
            session.add(row)

    def finish_measurement(
        self,
        measurement_id: int,
        *,
        verdict: str,
        evidence: str | None,
        summary: Mapping[str, Any],
        conditions: Mapping[str, Any],
        at: datetime | None = None,
    ) -> None:
        """Record the end of a measurement and its result. Only finished ones are in `measurements`.

        `at` is when it ended (timezone-aware); None means now.
        """
        with self._session(self._writer) as session:
            row = self._get(session, MeasurementRow, measurement_id)
            row.finished_at = at or utc_now()
            row.verdict = verdict
            row.evidence = evidence
            row.summary = dict(summary)
            row.conditions = dict(conditions)

    def record_failure(
        self,
        run_id: str,
        failure: Failure,
        *,
        recipe: str,
        variant: str,
        target: str | None = None,
        device: str | None = None,
        artifact_sha256: str | None = None,
    ) -> None:
        """Record a failure and its cell. `device` is a profile name, or an identity if it is known."""
        self._add(
            FailureRow(
                run_id=run_id,
                recipe=recipe,
                variant=variant,
                target=target,
                device=device,
                artifact_sha256=artifact_sha256,
                kind=failure.kind.value,
                stage=failure.stage,
                message=failure.message,
                hint=failure.hint,
                retriable=failure.retriable,
                at=utc_now(),
            )
        )

    def record_accuracy(self, run_id: str, accuracy: AccuracyRecord) -> None:
        """Record how accurate an artifact is on a set of photos."""
        self._add(AccuracyRow(run_id=run_id, recorded_at=utc_now(), **vars(accuracy)))

    def accuracies(self, run_id: str | None = None) -> list[AccuracyRecord]:
        """Return the accuracies, of one run or of all, newest first."""
        columns = (getattr(AccuracyRow, field.name) for field in fields(AccuracyRecord))
        query = select(*columns).order_by(AccuracyRow.recorded_at.desc(), AccuracyRow.id.desc())
        if run_id is not None:
            query = query.where(AccuracyRow.run_id == run_id)
        with self._session(self._reader) as session:
            return [AccuracyRecord(**row) for row in session.execute(query).mappings()]

    def runs(self) -> list[RunRecord]:
        """Return all runs, newest first."""
        query = select(RunRow.__table__).order_by(RunRow.started_at.desc())
        with self._session(self._reader) as session:
            return [RunRecord(**row) for row in session.execute(query).mappings()]

    def counts(self) -> dict[str, RunCounts]:
        """Return run id -> the counts of what it built, measured, evaluated and failed."""
        with self._session(self._reader) as session:
            numbers = queries.run_counts(session)
            runs = session.scalars(select(RunRow.id)).all()
        return {run: RunCounts(**{name: found.get(run, 0) for name, found in numbers.items()}) for run in runs}

    def devices(self) -> list[DeviceRecord]:
        """Return all devices, by name."""
        with self._session(self._reader) as session:
            return sorted(_devices(session).values(), key=lambda device: (device.name, device.id))

    def session_counts(self, run_id: str) -> tuple[int, int]:
        """Return how many sessions a run has of finished measurements, and of measurements that did not finish."""
        with self._session(self._reader) as session:
            return queries.session_counts(session, run_id)

    def artifacts(
        self, run_id: str | None = None, latest: bool = False, until: datetime | None = None
    ) -> list[ArtifactRecord]:
        """Return the artifacts, of one run or of all, newest first, that were recorded `until` a moment.

        Equal manifests are one object: do not change them.
        `latest` keeps the newest of each recipe, model, variant and target.
        """
        names = [field.name for field in fields(ArtifactRecord) if field.name not in {"model", "manifest"}]
        columns = [*(getattr(ArtifactRow, name) for name in names), ArtifactRow.model_hash.label("model")]
        with self._session(self._reader) as session:
            rows = session.execute(queries.artifacts(columns, run_id, latest, until)).mappings().all()
            manifests = queries.manifests(session, (row["id"] for row in rows))
        found = [ArtifactRecord(**row, manifest=manifests[row["id"]]) for row in rows]
        self._check_manifests(found)
        return found

    def measurements(
        self,
        run_id: str | None = None,
        latest: bool = False,
        *,
        recipes: Collection[str] = (),
        devices: Collection[str] = (),
        targets: Collection[str] = (),
        protocols: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[MeasurementRecord]:
        """Return the finished measurements, of one run or of all, newest first.

        The other arguments filter, as :class:`edgekit.ledger.queries.Filter` says. `latest` keeps the newest of each recipe,
        model, variant, target, device, protocol name and :data:`edgekit.ledger.queries.CONDITIONS` among what passed the
        filters. ValueError for a time that has no time zone.
        """
        for time in (since, until):
            if time is not None and time.utcoffset() is None:
                raise ValueError(f"the time {time} has no time zone")
        wanted = Filter(run_id, recipes, devices, targets, protocols, since, until)
        with self._session(self._reader) as session:
            rows = session.execute(queries.measurements(wanted, latest)).mappings().all()
            manifests = queries.manifests(session, (row["artifact_id"] for row in rows))
            known = _devices(session) if rows else {}
        found = [_measurement_record(row, manifests, known) for row in rows]
        self._check_manifests(found)
        return found

    def session_centres(self, measurement_ids: Iterable[int]) -> dict[int, dict[int, float]]:
        """Return each measurement's centres of sessions: block -> milliseconds. No sample is read.

        A centre is the session's median, or what :class:`SessionRecord` says. A measurement without any has an empty dict.
        """
        wanted = list(measurement_ids)
        found: dict[int, dict[int, float]] = {id: {} for id in wanted}
        with self._session(self._reader) as session:
            for id, block, centre in queries.session_centres(session, wanted):
                found[id][block] = centre / NANOSECONDS
        return found

    def peak_memory(self, measurement_ids: Iterable[int]) -> dict[int, int]:
        """Return the peak resident memory, in bytes, of each measurement that reported it."""
        with self._session(self._reader) as session:
            return {id: 1024 * peak for id, peak in queries.peak_memory(session, measurement_ids)}

    def sessions(self, measurement_id: int) -> list[SessionRecord]:
        """Return the sessions of a measurement in the order of their blocks; finished or not."""
        columns = [getattr(SessionRow, field.name) for field in fields(SessionRecord)]
        query = select(*columns).where(SessionRow.measurement_id == measurement_id).order_by(SessionRow.block)
        with self._session(self._reader) as session:
            return [SessionRecord(**row) for row in session.execute(query).mappings()]

    def failures(
        self, run_id: str | None = None, latest: bool = False, until: datetime | None = None
    ) -> list[FailureRecord]:
        """Return the failures of one run or of all, newest first, recorded `until` a moment.

        `latest` keeps the newest of each recipe, variant, target and device, unless a later measurement or artifact settles
        it (of the same run, if one is given): see :meth:`FailureRecord.settled_by`.
        """
        query = select(FailureRow).order_by(FailureRow.at.desc(), FailureRow.id.desc())
        if run_id is not None:
            query = query.where(FailureRow.run_id == run_id)
        if until is not None:
            query = query.where(FailureRow.at <= until)
        with self._session(self._reader) as session:
            rows = session.scalars(query).all()
            failed = select(FailureRow.run_id)
            runs = session.execute(select(RunRow.id, RunRow.plan).where(RunRow.id.in_(failed))).all() if rows else []
        networks = {run.id: planned_networks(run.plan) for run in runs}
        found = [failure_record(row, networks[row.run_id].get(row.recipe, set())) for row in rows]
        return self._unsettled(newest_failures(found), run_id, until) if latest else found

    def _unsettled(
        self, newest: Sequence[FailureRecord], run_id: str | None, until: datetime | None
    ) -> list[FailureRecord]:
        """Return the failures that no later measurement or artifact, of those `until` a moment, settles."""
        if not newest:
            return []
        recipes = {failure.recipe for failure in newest}
        works: list[MeasurementRecord | ArtifactRecord] = []
        since = min(failure.at for failure in newest)
        works += self.measurements(run_id, latest=True, recipes=recipes, since=since, until=until)
        if any(failure.device is None for failure in newest):
            works += self.artifacts(run_id, latest=True, until=until)
        return unsettled(newest, works)

    def _check_manifests(self, found: Iterable[ArtifactRecord | MeasurementRecord]) -> None:
        checked: set[int] = set()  # equal manifests are one object
        for record in found:
            if id(record.manifest) in checked:
                continue
            checked.add(id(record.manifest))
            if missing := [field for field in ARTIFACT_FIELDS if field not in record.manifest]:
                raise damaged(self._place, f"the manifest of {record.recipe} {record.target} has no {missing[0]}")

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        try:
            # What was added can still be read after the commit (its id).
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise refusal(self._place, error) from error
        except (ValueError, TypeError) as error:
            if engine is self._writer:
                raise
            raise damaged(self._place, error) from error  # no JSON, or no date

    def _add(self, row: Base) -> None:
        with self._session(self._writer) as session:
            session.add(row)

    def _get(self, session: Session, table: type[Row], key: str | int) -> Row:
        row = session.get(table, key)
        if row is None:
            message = f"The ledger {self._place} has no {key!r} among its {table.__tablename__}."
            raise EdgekitError(FailureKind.ledger, "ledger", message)
        return row


def _devices(session: Session) -> dict[str, DeviceRecord]:
    return {row["id"]: DeviceRecord(**row) for row in session.execute(select(DeviceRow.__table__)).mappings()}


def _measurement_record(
    row: RowMapping, manifests: Mapping[int, dict[str, Any]], devices: Mapping[str, DeviceRecord]
) -> MeasurementRecord:
    facts: dict[str, Any] = {**row}
    device = devices[facts["device_id"]]
    manifest = manifests[facts.pop("artifact_id")]
    return MeasurementRecord(**facts, manifest=manifest, device_name=device.name, device_info=device.info)
