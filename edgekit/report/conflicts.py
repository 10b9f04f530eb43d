"""What other sources print for the latencies of a published table, and which printed figures are known to be wrong."""

from __future__ import annotations

import re

from edgekit.published import Figure, figures, mismatches, our_precision
from edgekit.published.paper_tables import PaperTable
from edgekit.report.notes import source
from edgekit.report.sheet import Note


def network_name(figure: Figure) -> str:
    """Return the name of a figure's network: ``MobileNetV2 SSDLite 0.35/320 reduced``."""
    size = figure.resolution if figure.width is None else f"{figure.width}/{figure.resolution}"
    return " ".join(part for part in (figure.model, figure.head, size, figure.variant) if part)


def other_sources(table: PaperTable) -> dict[Figure, list[float]]:
    """Return the table's figures for which other sources print another latency -> those latencies in ms."""
    return {figure: [other.latency_ms or 0 for other in others] for figure, others in _others(table).items()}


def conflicts(table: PaperTable) -> list[Note]:
    """Return what other sources print for the same network, precision and device, and the known mistakes of these figures."""
    lines: dict[str, list[str]] = {}
    for figure, others in _others(table).items():
        values = ", ".join(f"{other.latency_ms:g} ({source(other)})" for other in others)
        what = f"{network_name(figure)} {figure.precision}"
        lines.setdefault(what, []).append(f"{figure.device} {figure.latency_ms:g} ms here, {values}")
    found = [Note(f"Other sources: {what}: {'; '.join(parts)}.", long=True) for what, parts in lines.items()]
    models = {figure.model for figure in table.figures}
    known = [
        f"Known mismatch: {row['what']}: {row['published']}; {row['reference']}; {row['advice']}."
        for row in mismatches()
        if _mentions(row["what"], models)
    ]
    short = [Note(f"Other sources print other latencies for {len(lines)} networks: --format markdown lists them.")]
    return [*(short if lines else []), *map(Note, known), *found]


def _others(table: PaperTable) -> dict[Figure, list[Figure]]:
    by_cell: dict[tuple[object, ...], list[Figure]] = {}
    for figure in figures():
        by_cell.setdefault(_cell(figure), []).append(figure)
    found = {}
    for figure in table.figures:
        own = by_cell.get(_cell(figure), ())
        if others := [other for other in own if other.latency_ms and other.latency_ms != figure.latency_ms]:
            found[figure] = others
    return found


def _cell(figure: Figure) -> tuple[object, ...]:
    same = (figure.model, figure.variant, figure.head, figure.width, figure.resolution, figure.device, figure.threads)
    return (*same, our_precision(figure))


def _mentions(what: str, models: set[str]) -> bool:
    """Say whether a known mismatch is about a latency of one of these models."""
    named = any(re.match(rf"{re.escape(model)}(?![-\w])", what) for model in models)
    return named and ("Pixel" in what or "latenc" in what)
