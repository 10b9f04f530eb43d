"""Tables for terminals of any width: a column that has no room is left out and named, never squeezed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text


def fill(table: Table, columns: Mapping[str, Sequence[Text]], width: int, always: int) -> list[str]:
    """Fill an empty `table` with `columns`, heading -> cells, as many as `width` characters have room for; return the others.

    They are left out from the right; the first `always` ones stay, and what has no room in them is wrapped.
    """
    left = width - 1
    omitted: list[str] = []
    for number, (heading, cells) in enumerate(columns.items()):
        needed = 3 + max(len(text) for text in (*heading.splitlines(), *(cell.plain for cell in cells)))
        if number < always or (needed <= left and not omitted):
            table.add_column(heading, no_wrap=needed <= left)
            left -= needed
        else:
            omitted.append(heading)
    for line in zip(*list(columns.values())[: len(table.columns)], strict=True):
        table.add_row(*line)
    return omitted
