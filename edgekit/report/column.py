"""A column of any table: what it is called, what it holds, and which formats show it.

Every format renders the same columns. A table's module has a list of them: :data:`edgekit.report.columns.COLUMNS` for
what the ledger holds, and short lists for the other tables. A new format needs nothing but this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Literal, TypeVar

from edgekit.errors import UsageError, did_you_mean
from edgekit.report.numbers import DASH

Value = str | int | float | bool | None
Format = Literal["terminal", "markdown", "latex", "html", "csv", "json"]
When = Literal["always", "present", "varies"]
"""``present``: if any item has a value. ``varies``: if two items have different ones."""
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table whose rows are made of items of type `T`.

    `value` is plain, for machines. `text` is for people; without it the value itself is printed, or a dash.
    `unit` is the unit of the text if the text has one, and `kind` says what the number is: measured, published, counted.
    `shown` maps each format that shows the column by default to the condition. `best` is the end that is sorted first.
    A terminal that is too narrow leaves out the column with the highest `rank` first.
    A terminal lists the few texts of a column `below` the table if the table has no room for it.
    `identity` columns are added to a table for people if two rows looked alike without them.
    """

    key: str
    heading: str
    value: Callable[[T], Value]
    text: Callable[[T], str | None] | None = None
    unit: str = ""
    kind: str = ""
    align: Literal["left", "right"] = "left"
    shown: Mapping[Format, When] = field(default_factory=dict)
    best: Literal["low", "high"] = "low"
    rank: int = 5
    identity: bool = False
    below: bool = False
    style: Callable[[T], str] | None = None

    @property
    def title(self) -> str:
        """The heading with unit and kind: ``Latency, ms (measured)``."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.heading}{unit}" + (f" ({self.kind})" if self.kind else "")

    def cell(self, item: T) -> str:
        """Return the text for people, a dash for what is not known."""
        if self.text is not None:
            return self.text(item) or DASH
        value = self.value(item)
        return DASH if value is None else str(value)

    def of(
        self, value: Callable[[U], Value], text: Callable[[U], str | None] | None = None, **changes: Any
    ) -> Column[U]:
        """Return the same column of other items, which `value` and `text` get it from."""
        same: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        return Column(**{**same, "style": None, **changes, "value": value, "text": text})

    def lifted(self, part: Callable[[U], T | None], **changes: Any) -> Column[U]:
        """Return the same column for items of which `part` is what this one shows; None is not known."""

        def text(item: U) -> str | None:
            own = part(item)
            return None if own is None else self.cell(own)

        def value(item: U) -> Value:
            own = part(item)
            return None if own is None else self.value(own)

        return self.of(value, text, **changes)


def shown(people: When | None = None, machines: bool = True, **formats: When | None) -> dict[Format, When]:
    """Return when the formats show a column: all those for people alike but for `formats`, and those for machines."""
    found: dict[Any, When | None] = dict.fromkeys(("terminal", "markdown", "latex", "html"), people)
    found |= dict.fromkeys(("csv", "json"), "always" if machines else None)
    return {name: when for name, when in (found | formats).items() if when is not None}


def named(columns: Sequence[Column[T]], keys: Sequence[str]) -> list[Column[T]]:
    """Return the columns with these keys in their order; UsageError if there is no such column."""
    known = {column.key: column for column in columns}
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, known)
            listed = "" if hint.startswith("Known") else f" All: {', '.join(known)}."
            raise UsageError(f"There is no column {key}.", hint + listed)
    return [known[key] for key in dict.fromkeys(keys)]


def default(columns: Sequence[Column[T]], items: Sequence[T], format: Format) -> list[Column[T]]:
    """Return the columns that a format shows of these items, with those that are needed to tell the items apart."""
    chosen = [column for column in columns if column.shown.get(format) and _is_wanted(column, items, format)]
    if format in {"csv", "json"}:
        return chosen
    added = _distinguishing([column for column in columns if column.identity], chosen, items)
    return [column for column in columns if column in chosen or column in added]


def _is_wanted(column: Column[T], items: Sequence[T], format: Format) -> bool:
    match column.shown[format]:
        case "always":
            return True
        case "present":
            return any(column.value(item) is not None for item in items)
        case "varies":
            return len({column.cell(item) for item in items if column.value(item) is not None}) > 1


def _distinguishing(
    candidates: Sequence[Column[T]], chosen: Sequence[Column[T]], items: Sequence[T]
) -> list[Column[T]]:
    """Return as many of the candidates, in their order, as tell apart what is alike in the chosen identity columns."""
    alike = [list(items)]
    added = []
    for column in (
        *(candidate for candidate in candidates if candidate in chosen),
        *(candidate for candidate in candidates if candidate not in chosen),
    ):
        split = [part for group in alike for part in _split(column, group)]
        if len(split) > len(alike) and column not in chosen:
            added.append(column)
        alike = [group for group in split if len(group) > 1]
    return added


def _split(column: Column[T], group: Sequence[T]) -> list[list[T]]:
    parts: dict[str, list[T]] = {}
    for item in group:
        parts.setdefault(column.cell(item), []).append(item)
    return list(parts.values())
