"""Records as columns, and equal texts once: a page of thousands of measurements stays small."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

Plain = str | int | float | bool | None
DIGITS = 6
"""Significant digits of a number in the page. Texts for people have fewer."""


class Texts(BaseModel):
    """A column of texts: each record has the index of its text."""

    model_config = ConfigDict(extra="forbid")
    texts: list[str]
    cells: list[int]


Columns = dict[str, Texts | list[float | int | bool | None]]
"""Field -> its values in the order of the records."""


def pooled(texts: Sequence[str]) -> Texts:
    """Return a column of texts in which equal ones are stored once."""
    known: dict[str, int] = {}
    cells = [known.setdefault(text, len(known)) for text in texts]
    return Texts(texts=list(known), cells=cells)


def packed(records: Sequence[BaseModel]) -> Columns:
    """Return records of one class, whose fields are plain, as columns."""
    if not records:
        return {}
    return {name: _column([getattr(record, name) for record in records]) for name in type(records[0]).model_fields}


def short(value: float) -> float:
    """Return a number with the digits that the page keeps."""
    return float(f"{value:.{DIGITS}g}")


def _column(values: Sequence[Plain]) -> Texts | list[float | int | bool | None]:
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) == len(values):
        return pooled(texts)
    return [short(value) if isinstance(value, float) else value for value in values if not isinstance(value, str)]
