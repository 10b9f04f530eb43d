"""Published accuracies and latencies, with their sources. They never replace a measured number.

:func:`find` answers for one model. If sources disagree, it returns all of them. The columns of reports are those of the
MobileNetV3 paper (arXiv:1905.02244v5): Tables 3 (float) and 4 (quantized), 6 (detection) and 7 (segmentation).
Figures of other sources differ (other TFLite versions, other papers) and are in footnotes.
:func:`mismatches` lists wrong figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from edgekit.published.figures import Figure, figures, mismatches

__all__ = ["PHONES", "Figure", "accuracy_range", "figures", "find", "is_paper_column", "mismatches", "our_precision"]

PHONES = ("Pixel 1", "Pixel 2", "Pixel 3")
PRECISIONS = {"fp32": ("float32",), "int8": ("uint8", "uint8 QAT", "uint8 PTQ", "int8 PTQ")}
"""Our precision -> the words of the sources. fp16 has none: no source has figures for these phones."""
PAPER_TABLES = {"fp32": {"3 (v5)", "6 (v5)", "7 (v5)"}, "int8": {"4 (v5)"}}


@cache
def find(
    model: str, variant: str = "", *, head: str = "", width: float, resolution: str, precision: str
) -> tuple[Figure, ...]:
    """Return what was published for a model at our `precision` (fp32, int8), all sources; nothing for other precisions.

    `resolution` is ``224`` or ``1024x2048`` (height x width). A figure without a width is of a model that is published in one.
    """
    words = PRECISIONS.get(precision, ())
    return tuple(
        row
        for row in figures()
        if (row.model, row.variant, row.head, row.resolution) == (model, variant, head, resolution)
        and row.width in {None, width}
        and row.precision in words
    )


def our_precision(figure: Figure) -> str | None:
    """Return fp32 or int8 for the word of a source; None for another precision."""
    return next((ours for ours, words in PRECISIONS.items() if figure.precision in words), None)


def accuracy_range(found: Sequence[Figure], precision: str) -> tuple[float, float, str] | None:
    """Return the lowest and the highest accuracy that is published, and its metric; None if there is none.

    If the MobileNetV3 paper prints an accuracy beside its latencies it is that alone.
    """
    paper = [row for row in found if is_paper_column(row, precision) and row.latency_ms and row.device in PHONES]
    for rows in (paper, found):
        values = [(row.accuracy, row.metric) for row in rows if row.accuracy is not None]
        if values:
            return min(values)[0], max(values)[0], values[0][1]
    return None


def is_paper_column(row: Figure, precision: str) -> bool:
    """Return whether a figure is in the MobileNetV3 paper's table for `precision`, so that it belongs in a column."""
    return row.table in PAPER_TABLES.get(precision, ()) and row.source.startswith("arXiv:1905.02244v5")
