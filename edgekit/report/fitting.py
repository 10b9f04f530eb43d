"""How wide the columns of a terminal's table are: what has no room is left out and named, and no number is broken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.report.column import Column

GAP = 2
"""Characters between two columns."""
WORTH_WRAPPING = 4
"""The highest rank of a column for which others are wrapped to make room."""
LONGEST_WORD = 24
"""Characters of a word that a table never breaks."""
BREAKS = re.compile(r"(?<=[/_])(?=[A-Za-z])|(?<=\s)(?![^\[\]]*\])")
"""Where a cell may be broken: after spaces, slashes and underscores, but not within an interval or before a digit."""
TRIED_AT_MOST = 50
"""How many of a column's longest texts decide on its width."""


@dataclass(frozen=True)
class Fitted:
    """A column with its heading and cells, as texts whose lines have at most `width` characters."""

    column: Column[Any]
    width: int
    heading: str
    cells: Sequence[str]


def fit(columns: Sequence[Column[Any]], items: Sequence[Any], width: int) -> tuple[list[Fitted], list[Column[Any]]]:
    """Return the columns that `width` characters have room for, and those that it has no room for."""
    texts = {column.key: [_plain(column.cell(item)) for item in items] for column in columns}
    least = {column.key: _least(column, texts[column.key]) for column in columns}
    roomy = {column.key: max(least[column.key], *map(len, texts[column.key])) for column in columns}
    kept = _kept(columns, least, roomy, width)
    widths = _widths(kept, texts, least, width)
    fitted = [
        Fitted(
            column,
            widths[column.key],
            "\n".join(_aligned(part, column, widths[column.key]) for part in _heading(column)),
            [_aligned(text, column, widths[column.key]) for text in texts[column.key]],
        )
        for column in columns
        if column in kept
    ]
    return fitted, [column for column in columns if column not in kept]


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` characters; only a word that is longer than a line is broken."""
    lines = [""]
    for piece in _pieces(text, max(width, LONGEST_WORD)):
        if len(lines[-1]) + len(piece.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _aligned(text: str, column: Column[Any], width: int) -> str:
    """Return a text in lines, with spaces before those of a column of numbers: rich aligns no lines that it may not wrap."""
    lines = wrapped(text, width)
    return "\n".join(line.rjust(width) for line in lines) if column.align == "right" else "\n".join(lines)


def _pieces(text: str, longest: int) -> list[str]:
    """Return the pieces between which a text may be broken; those that are too long are cut."""
    return [piece[start : start + longest] for piece in BREAKS.split(text) for start in range(0, len(piece), longest)]


def _kept(
    columns: Sequence[Column[Any]], least: dict[str, int], roomy: dict[str, int], width: int
) -> list[Column[Any]]:
    """Return the columns that fit, those of the lowest rank first; those of rank 0 stay in any case.

    `roomy` are the widths at which no cell is wrapped, but headings are.
    """
    kept: list[Column[Any]] = []
    for column in sorted(columns, key=lambda column: column.rank):
        sizes = roomy if column.rank > WORTH_WRAPPING else least
        if column.rank == 0 or _total([*kept, column], sizes) <= width:
            kept.append(column)
        elif column.rank > WORTH_WRAPPING:
            break
    return kept


def _widths(
    kept: Sequence[Column[Any]], texts: dict[str, list[str]], least: dict[str, int], width: int
) -> dict[str, int]:
    """Return the width of each column: as few lines for a row as there is room for, then as few for the headings."""
    widths = {column.key: least[column.key] for column in kept}
    longest = {key: sorted(set(texts[key]), key=len)[-TRIED_AT_MOST:] for key in widths}
    left = _widen(widths, longest, width - _total(kept, least))
    _widen(widths, {column.key: _heading(column) for column in kept}, left)
    return widths


def _widen(widths: dict[str, int], texts: dict[str, list[str]], left: int) -> int:
    """Share `left` characters among columns, those whose texts have most lines first; return how many are left then."""
    open_ = set(widths)
    while open_:
        key = max(sorted(open_), key=lambda column: _lines(texts[column], widths[column]))
        wider = _wider(texts[key], widths[key], widths[key] + max(left, 0))
        if wider is None:
            open_.remove(key)
        else:
            left -= wider - widths[key]
            widths[key] = wider
    return left


def _wider(texts: Sequence[str], width: int, most: int) -> int | None:
    """Return the least width up to `most` at which the texts have fewer lines; None if there is none."""
    lines = _lines(texts, width)
    if lines == 1:
        return None
    most = min(most, max(map(len, texts)))
    return next((wider for wider in range(width + 1, most + 1) if _lines(texts, wider) < lines), None)


def _lines(texts: Sequence[str], width: int) -> int:
    return max(len(wrapped(text, width)) for text in texts)


def total(fitted: Sequence[Fitted]) -> int:
    """Return the width of a table with these columns; more than there is room for if those of rank 0 do not fit."""
    return sum(column.width for column in fitted) + GAP * max(0, len(fitted) - 1)


def _total(columns: Sequence[Column[Any]], sizes: dict[str, int]) -> int:
    return sum(sizes[column.key] for column in columns) + GAP * max(0, len(columns) - 1)


def _heading(column: Column[Any]) -> list[str]:
    unit = f", {column.unit}" if column.unit else ""
    return [f"{column.heading}{unit}", *([f"({column.kind})"] if column.kind else [])]


def _least(column: Column[Any], cells: Sequence[str]) -> int:
    """Return the width of the longest piece; that of the longest cell if it is a column of numbers."""
    words = [piece.rstrip() for text in _heading(column) for piece in BREAKS.split(text)]
    if column.align == "right":
        return max(map(len, (*words, *cells)))
    pieces = {piece.rstrip() for text in set(cells) for piece in BREAKS.split(text)}
    return max(*(len(word) for word in words), *(min(len(piece), LONGEST_WORD) for piece in pieces))


def _plain(text: str) -> str:
    return " ".join(text.split())
