"""What the ledger answers with: plain values that stay valid after the database is closed.

Times are timezone-aware UTC; fields that end in `_ns` and raw samples are nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edgekit.errors import Failure
from edgekit.ledger.models import network_of


@dataclass(frozen=True)
class RunRecord:
    """One invocation of `deploy` or `profile`; `status` is running, done, failed or interrupted."""

    id: str
    started_at: datetime
    finished_at: datetime | None
    command: str
    seed: int
    protocol: dict[str, Any]
    plan: dict[str, Any]
    edgekit_version: str
    status: str


@dataclass(frozen=True)
class RunCounts:
    """How many artifacts, finished measurements, evaluations and failures a run recorded."""

    artifacts: int
    measurements: int
    accuracies: int
    failures: int


@dataclass(frozen=True)
class DeviceRecord:
    """One concrete device: the hash of its identity, the name of the profile that reached it last, what is known of it."""

    id: str
    name: str
    info: dict[str, Any]
    first_seen: datetime


@dataclass(frozen=True)
class ArtifactRecord:
    """What a run built, or found in the cache, for one target of a recipe.

    `model` is what the model is known by: :func:`edgekit.ledger.models.model_hash`.
    """

    id: int
    run_id: str
    sha256: str
    recipe: str
    recipe_hash: str
    variant: str
    architecture: str
    target: str
    model: str
    manifest: dict[str, Any]
    recorded_at: datetime


@dataclass(frozen=True)
class MeasurementRecord:
    """One finished measurement with the artifact's manifest and the device it ran on.

    `model` is as that of an artifact. Measurements of equal artifacts share one `manifest`: do not change it.
    """

    id: int
    run_id: str
    recipe: str
    recipe_hash: str
    variant: str
    architecture: str
    model: str
    target: str
    artifact_sha256: str
    manifest: dict[str, Any]
    device_name: str
    device_id: str
    device_info: dict[str, Any]
    protocol: dict[str, Any]
    kind: str
    verdict: str | None
    evidence: str | None
    summary: dict[str, Any] | None
    conditions: dict[str, Any] | None
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class AccuracyRecord:
    """How accurate one artifact, or PyTorch, is on one set of photos.

    Artifact and photos are known by their hashes. `device` is a profile's name, None on the `host`. `metric` is the chief of the
    `metrics`: name -> value and interval, in percent. `n` of the `photos` count; `failed` are the others: path -> message.
    """

    artifact_sha256: str
    subset_sha256: str
    recipe: str
    variant: str
    target: str
    data_set: str
    data_format: str
    photos: int
    n: int
    metric: str
    metrics: dict[str, Any]
    comparison: dict[str, Any] | None
    failed: dict[str, Any]
    kind: str
    device: str | None
    device_id: str | None
    host: str


@dataclass(frozen=True)
class SessionRecord:
    """One fresh process on the device and all its samples; `started_at` is None if it is unknown.

    Of a program that gave no samples, `told` in its environment is what it gave.
    `centre_ns` is the median of the samples, or the median or else the mean of what it gave.
    """

    id: int
    measurement_id: int
    block: int
    started_at: datetime | None
    load_ns: int
    first_ns: int
    samples: list[int]
    centre_ns: float | None
    environment: dict[str, Any]


@dataclass(frozen=True)
class FailureRecord:
    """One recorded failure and the cell that failed; None is what had not been reached by then.

    `networks` are the hashes of what the run planned under the recipe's name; empty if its plan names none.
    """

    id: int
    run_id: str
    recipe: str
    variant: str
    target: str | None
    device: str | None
    artifact_sha256: str | None
    failure: Failure
    at: datetime
    networks: frozenset[str] = frozenset()

    def may_be_of(self, manifest: dict[str, Any]) -> bool:
        """Say whether an artifact of the recipe's name is of a network that the failure may be of."""
        known = self.networks and "model" in manifest
        return not known or network_of(manifest) in self.networks

    def settled_by(self, later: MeasurementRecord | ArtifactRecord) -> bool:
        """Return whether a measurement, or for a failure on no device an artifact, shows that what failed works by now.

        The device may be named by its profile or by its identity. A failure before any target or device was reached
        (say, of the weights) is settled by every later artifact of the recipe, because that had to pass the same step.
        """
        if (later.recipe, later.variant) != (self.recipe, self.variant) or self.target not in {None, later.target}:
            return False
        if isinstance(later, ArtifactRecord):
            works = self.device is None and later.recorded_at > self.at
        else:
            works = later.finished_at > self.at and self.device in {None, later.device_name, later.device_id}
        return works and self.may_be_of(later.manifest)
