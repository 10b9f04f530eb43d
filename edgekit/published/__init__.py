"""Published latencies, with their sources: never measured here, never shown where a measured number is asked for.

The columns of reports are those of the MobileNetV3 paper (arXiv:1905.02244v5): Table 3 (float), Table 4 (quantized). Figures of
other sources differ (other TFLite versions, other papers) and go into footnotes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PHONES = ("Pixel 1", "Pixel 2", "Pixel 3")
PAPER_TABLES = {"fp32": ("float32", "3 (v5)"), "int8": ("uint8", "4 (v5)")}
"""Our precision -> the paper's word for it and its table. fp16 has no column: nobody published it for these phones."""


@dataclass(frozen=True)
class PublishedLatency:
    """One published figure: milliseconds on a phone, single large core, one thread; top-1 in percent where printed."""

    model: str
    variant: str
    width: float
    resolution: int
    device: str
    latency_ms: float
    precision: str
    top1: float | None
    table: str
    source: str


@cache
def pixel_latencies() -> tuple[PublishedLatency, ...]:
    """Return every published single-core CPU latency on a Pixel phone that we know the source of."""
    text = (files("edgekit.published") / "pixel_latency.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedLatency(
            model=row["model"],
            variant=row["variant"],
            width=float(row["width"]),
            resolution=int(row["resolution"]),
            device=row["device"],
            latency_ms=float(row["latency_ms"]),
            precision=row["precision"],
            top1=float(row["top1"]) if row["top1"] else None,
            table=row["table"],
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
        if row["threads"] == "1"
        and row["processor"].startswith("CPU")
        and row["width"]
        and row["resolution"]
        and row["latency_ms"]
    )


def find(model: str, variant: str, width: float, resolution: int, precision: str) -> tuple[PublishedLatency, ...]:
    """Return what was published for a model at our `precision` (fp32, int8), all sources; nothing for other precisions."""
    if precision not in PAPER_TABLES:
        return ()
    word = PAPER_TABLES[precision][0]
    wanted = (model, variant, width, resolution, word)
    return tuple(
        row for row in pixel_latencies() if (row.model, row.variant, row.width, row.resolution, row.precision) == wanted
    )


def is_paper_column(row: PublishedLatency, precision: str) -> bool:
    """Say whether a figure stands in the paper's table for `precision`, so that it belongs in a column."""
    return row.table == PAPER_TABLES[precision][1] and row.source.startswith("arXiv:1905.02244v5")
