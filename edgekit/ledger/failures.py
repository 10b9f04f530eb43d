"""Recorded failures as records, and the newest of each cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from edgekit.errors import Failure, FailureKind
from edgekit.ledger.records import ArtifactRecord, FailureRecord, MeasurementRecord
from edgekit.ledger.schema import FailureRow


def newest_failures(found: Iterable[FailureRecord]) -> list[FailureRecord]:
    """Return the newest of each cell; of recipes that share a name, those of each that is another network."""
    newest: dict[Hashable, list[FailureRecord]] = {}
    for failure in found:
        same_cell = newest.setdefault((failure.recipe, failure.variant, failure.target, failure.device), [])
        if all(failure.networks and other.networks and not failure.networks & other.networks for other in same_cell):
            same_cell.append(failure)
    return [failure for same_cell in newest.values() for failure in same_cell]


def unsettled(
    failures: Iterable[FailureRecord], works: Iterable[MeasurementRecord | ArtifactRecord]
) -> list[FailureRecord]:
    """Return the failures that nothing of what works settles: :meth:`FailureRecord.settled_by`."""
    later: defaultdict[tuple[str, str], list[MeasurementRecord | ArtifactRecord]] = defaultdict(list)
    for success in works:
        later[success.recipe, success.variant].append(success)
    return [failure for failure in failures if not any(map(failure.settled_by, later[failure.recipe, failure.variant]))]


def failure_record(row: FailureRow, networks: set[str]) -> FailureRecord:
    """Return a row as a record; `networks` are the hashes of what its run planned under the recipe's name."""
    # A newer edgekit may write kinds that this one has no word for yet, into the same tables.
    kind = FailureKind.__members__.get(row.kind, FailureKind.internal)
    return FailureRecord(
        id=row.id,
        run_id=row.run_id,
        recipe=row.recipe,
        variant=row.variant,
        target=row.target,
        device=row.device,
        artifact_sha256=row.artifact_sha256,
        failure=Failure(kind, row.stage, row.message, row.hint, row.retriable),
        at=row.at,
        networks=frozenset(networks),
    )
