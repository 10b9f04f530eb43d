"""The tables of the ledger. A change here needs a new file in `migrations/versions/`.

Times are UTC and timezone-aware; fields that end in `_ns` and raw samples are nanoseconds, sizes are bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from edgekit.ledger.samples import Samples

REVISION = "0003"
"""Of these tables: that of the newest migration."""


def utc_now() -> datetime:
    """Return the present moment, timezone-aware, in UTC."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment, stored without its zone as UTC, because SQLite would drop the zone silently."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware moment into naive UTC; raise ValueError for a naive one, whose zone is unknown."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"the time {value} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give a stored moment its zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """What all tables share: the column types, and names for constraints so that a migration can address them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UTCDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        list[int]: Samples(),
        float: Double(),
    }


class RunRow(Base):
    """One invocation of `deploy` or `profile`; `status` is running, done, failed or interrupted."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    command: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    protocol: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any]]
    edgekit_version: Mapped[str]
    status: Mapped[str]


class DeviceRow(Base):
    """One concrete device; `id` is the hash of its identity, `name` that of the profile that reached it last."""

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    info: Mapped[dict[str, Any]]
    first_seen: Mapped[datetime] = mapped_column(default=utc_now)


class ArtifactRow(Base):
    """What a run built, or found in the cache, for one target of a recipe; equal bytes have equal `sha256`.

    `model_hash` is that of :mod:`edgekit.ledger.models`.
    """

    __tablename__ = "artifacts"
    __table_args__ = (
        UniqueConstraint("run_id", "recipe", "recipe_hash", "target"),
        # All that the newest of each cell is found by, so that no manifest is read for it.
        Index("ix_artifacts_cell", "recipe", "variant", "model_hash", "target", "run_id", "recorded_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    sha256: Mapped[str]
    build_key: Mapped[str]
    recipe: Mapped[str]
    recipe_hash: Mapped[str]
    variant: Mapped[str]
    architecture: Mapped[str]
    target: Mapped[str]
    format: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any]]
    model_hash: Mapped[str]
    recorded_at: Mapped[datetime]


class MeasurementRow(Base):
    """One artifact timed on one device by one protocol; without `finished_at` it is running or was interrupted."""

    __tablename__ = "measurements"
    __table_args__ = (
        Index("ix_measurements_cell", "artifact_id", "device_id", "target", "protocol_name", "finished_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"))
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    target: Mapped[str]
    protocol: Mapped[dict[str, Any]]
    protocol_name: Mapped[str]
    kind: Mapped[str]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    verdict: Mapped[str | None]
    evidence: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]
    conditions: Mapped[dict[str, Any] | None]


class SessionRow(Base):
    """One fresh process on the device and every sample it took; `started_at` is null if it is unknown.

    `centre_ns` is the median of the samples, else the reported median, else the reported mean.
    """

    __tablename__ = "sessions"
    __table_args__ = (UniqueConstraint("measurement_id", "block"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    measurement_id: Mapped[int] = mapped_column(ForeignKey("measurements.id"))
    block: Mapped[int]
    started_at: Mapped[datetime | None]
    load_ns: Mapped[int] = mapped_column(BigInteger)
    first_ns: Mapped[int] = mapped_column(BigInteger)
    samples: Mapped[list[int]]
    centre_ns: Mapped[float | None]
    environment: Mapped[dict[str, Any]]


class FailureRow(Base):
    """One failure. Target, device and artifact are null if they had not been reached."""

    __tablename__ = "failures"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    recipe: Mapped[str]
    variant: Mapped[str]
    target: Mapped[str | None]
    device: Mapped[str | None]
    artifact_sha256: Mapped[str | None]
    kind: Mapped[str]
    stage: Mapped[str]
    message: Mapped[str]
    hint: Mapped[str]
    retriable: Mapped[bool]
    at: Mapped[datetime]


class AccuracyRow(Base):
    """How accurate one artifact, or PyTorch, is on one set of photos; on a device, or if that is null, on the host.

    `n` of the `photos` were read and count; `failed` are the others by their paths. `metric` is the chief of the `metrics`.
    """

    __tablename__ = "accuracies"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    artifact_sha256: Mapped[str] = mapped_column(index=True)
    subset_sha256: Mapped[str]
    recipe: Mapped[str]
    variant: Mapped[str]
    target: Mapped[str]
    data_set: Mapped[str]
    data_format: Mapped[str]
    photos: Mapped[int]
    n: Mapped[int]
    metric: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    comparison: Mapped[dict[str, Any] | None]
    failed: Mapped[dict[str, Any]]
    kind: Mapped[str]
    device: Mapped[str | None]
    device_id: Mapped[str | None]
    host: Mapped[str]
    recorded_at: Mapped[datetime]
