"""Merging of exported rows into a ledger. Known rows are recognised by their content, not by their number.

| table | the same if these are equal |
| --- | --- |
| runs, devices | id: random, or the hash of the device |
| artifacts | run, recipe, its hash, target |
| measurements | artifact, device, target, start |
| sessions | measurement, block |
| accuracies | run, artifact's hash, photos' hash, target, device, moment |
| failures | everything |

If several rows of a ledger are the same, the larger count of both ledgers is kept. If a run, a measurement or an
artifact changed after an earlier export, the later state counts. Devices keep the name that they have here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from edgekit.ledger.exchange import TABLES, Row, table_of
from edgekit.ledger.schema import Base

KEYS = {
    "runs": ("id",),
    "devices": ("id",),
    "artifacts": ("run_id", "recipe", "recipe_hash", "target"),
    "measurements": ("artifact_id", "device_id", "target", "started_at"),
    "sessions": ("measurement_id", "block"),
    "accuracies": ("run_id", "artifact_sha256", "subset_sha256", "target", "device_id", "recorded_at"),
    "failures": (
        *("run_id", "recipe", "variant", "target", "device", "artifact_sha256"),
        *("kind", "stage", "message", "hint", "retriable", "at"),
    ),
}
LATER = {"runs": "finished_at", "measurements": "finished_at", "artifacts": "recorded_at"}
"""Table -> the moment by which the later of two states is known; null is the earliest."""
REFERS = {"measurements": ("artifact_id", "artifacts"), "sessions": ("measurement_id", "measurements")}
"""Table -> its column that refers to rows by their number, and whose."""
NUMBERED = {"artifacts", "measurements", "sessions", "accuracies", "failures"}
"""Tables whose ids are numbers of one ledger."""

Key = tuple[Any, ...]


class Merged(BaseModel):
    """How many rows of a table were added, were brought to a later state, or were known."""

    added: int = 0
    updated: int = 0
    known: int = 0


class Merge:
    """One import under way, in the transaction of `session`; `merged` counts by table."""

    def __init__(self, session: Session) -> None:
        self.merged = {table_of(row).name: Merged() for row in TABLES}
        self._session = session
        self._rows = {table_of(row).name: row for row in TABLES}
        self._ids: dict[str, dict[int, int]] = defaultdict(dict)  # table -> number in the file -> number here
        self._known: dict[str, dict[Key, list[tuple[Any, Any]]]] = {}
        self._seen: defaultdict[str, Counter[Key]] = defaultdict(Counter)

    def add(self, name: str, rows: Sequence[Row]) -> None:
        """Merge rows of one table. Parents must have come before; KeyError for a number that none of them has."""
        fresh, numbers = [], []
        for row in rows:
            number = row["id"]
            if name in NUMBERED:
                del row["id"]
            if name in REFERS:
                column, parent = REFERS[name]
                row[column] = self._ids[parent][row[column]]
            match = self._match(name, row)
            if match is None:
                fresh.append(row)
                numbers.append(number)
            else:
                self._ids[name][number] = match[0]
                self._bring_forward(name, row, *match)
        self._insert(name, fresh, numbers)

    def begin_file(self) -> None:
        """Forget the numbers and counts of the previous file."""
        self._ids.clear()
        self._known.clear()
        self._seen.clear()

    def _match(self, name: str, row: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return id and moment of the row here that is the same."""
        if name not in self._known:
            self._known[name] = self._load(name)
        key = tuple(row[column] for column in KEYS[name])
        place = self._seen[name][key]
        self._seen[name][key] += 1
        same = self._known[name].get(key, [])
        return same[place] if place < len(same) else None

    def _load(self, name: str) -> dict[Key, list[tuple[Any, Any]]]:
        table = table_of(self._rows[name])
        later = table.c[LATER[name]] if name in LATER else table.c.id
        columns = [table.c[column] for column in KEYS[name]]
        known: dict[Key, list[tuple[Any, Any]]] = defaultdict(list)
        for id, moment, *key in self._session.execute(select(table.c.id, later, *columns).order_by(table.c.id)):
            known[tuple(key)].append((id, moment))
        return known

    def _bring_forward(self, name: str, row: Row, id: Any, moment: Any) -> None:
        later = row[LATER[name]] if name in LATER else None
        if later is None or (moment is not None and later <= moment):
            self.merged[name].known += 1
            return
        table = table_of(self._rows[name])
        self._session.execute(update(table).where(table.c.id == id).values(**row))
        self.merged[name].updated += 1

    def _insert(self, name: str, rows: list[Row], numbers: Iterable[int]) -> None:
        if not rows:
            return
        self.merged[name].added += len(rows)
        kind: type[Base] = self._rows[name]
        if name not in {parent for _, parent in REFERS.values()}:
            self._session.execute(insert(kind), rows)
            return
        column = table_of(kind).c.id
        added = self._session.scalars(insert(kind).returning(column, sort_by_parameter_order=True), rows)
        self._ids[name].update(zip(numbers, added, strict=True))
