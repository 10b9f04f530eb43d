"""Parity in words and as a table of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.build.layer_parity import LayerParity, first_departure
from edgekit.build.parity import EQUAL_DB, exceeded, explain

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.backends.base import ParityResult
    from edgekit.pipeline.comparing import Compared


def layer_table(compared: Compared) -> Table:
    """Return a row for each layer, the first that departs marked."""
    from rich.table import Table

    table = Table(title=f"{compared.target}: signal-to-noise ratio of each layer's output, dB")
    table.add_column("layer")
    table.add_column("so far", justify="right")
    table.add_column("alone", justify="right")
    first = first_departure(compared.layers, compared.target.precision)
    for layer in compared.layers:
        style = "bold red" if layer is first else None
        table.add_row(layer.name, _decibels(layer.so_far), _decibels(layer.alone), style=style)
    return table


def result_lines(compared: Compared) -> list[str]:
    """Return what the gate measured and judged, and which layer departs first."""
    lines = [f"{compared.target}: {explain(compared.parity)}{_decisions(compared.parity)}"]
    wrong = exceeded(compared.parity)
    lines.append("Outside its limits: " + "; ".join(wrong) + "." if wrong else "Within its limits.")
    if compared.layers:
        first = first_departure(compared.layers, compared.target.precision)
        lines.append(_departure(first) if first else "No layer departs.")
        lines.append(
            "So far: with all layers before it. Alone: for the artifact's input of the layer, without rounding and range."
        )
    return lines


def _departure(layer: LayerParity) -> str:
    figures = f"{_decibels(layer.so_far)} dB so far, {_decibels(layer.alone)} dB alone"
    return f"The first layer that departs is {layer.name}: {figures}."


def _decisions(parity: ParityResult) -> str:
    if parity.clear_agreement is None or parity.agreement_interval is None:
        return ""
    low, high = parity.agreement_interval
    agreement = f"{100 * parity.clear_agreement:.1f} [{100 * low:.1f}, {100 * high:.1f}] %"
    return f", agreement on {parity.clear_decisions} clear decisions {agreement}, ties {100 * parity.ties:.1f} %"


def _decibels(value: float) -> str:
    return "exact" if value >= EQUAL_DB else f"{value:.1f}"
