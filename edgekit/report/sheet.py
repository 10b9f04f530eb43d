"""What a report is before it is printed: sections of rows, their columns, and notes. The renderers take it from there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from edgekit.report.column import Column, Format, default, named

T = TypeVar("T")


@dataclass(frozen=True)
class Section(Generic[T]):
    """A table: items, and the columns that they may be shown in. Two sections hold what may not be compared."""

    columns: Sequence[Column[T]]
    items: Sequence[T]
    heading: str = ""

    def chosen(self, format: Format, keys: Sequence[str] = ()) -> list[Column[T]]:
        """Return the columns with these keys; without keys those that the format shows. UsageError for an unknown key."""
        return named(self.columns, keys) if keys else default(self.columns, self.items, format)


@dataclass(frozen=True)
class Note:
    """A sentence below the tables. If it is `about` columns it is printed only with one of them; a `long` one in no terminal."""

    text: str
    about: frozenset[str] = frozenset()
    long: bool = False


@dataclass(frozen=True)
class Report:
    """Sections and notes. `keys` are the columns that the user chose; `empty` says how to get a first row."""

    sections: Sequence[Section[Any]]
    notes: Sequence[Note] = ()
    title: str = ""
    empty: str = ""
    keys: Sequence[str] = field(default_factory=tuple)

    @property
    def filled(self) -> list[Section[Any]]:
        """The sections that have rows."""
        return [section for section in self.sections if section.items]

    def notes_about(self, keys: Collection[str]) -> list[Note]:
        """Return the notes that belong to a table with these columns."""
        return [note for note in self.notes if not note.about or not note.about.isdisjoint(keys)]
