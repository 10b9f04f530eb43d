"""Inspections for a terminal and as Markdown: the same tables and lines, set in two ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from edgekit.architectures.cost import LayerCost, Shape
from edgekit.inspection import InspectDocument, RecipeEntry

Cells = tuple[str, ...]

NUMERIC = {
    "parameters",
    "multiply-adds",
    "share of parameters",
    "share of multiply-adds",
    "bytes",
    "ms (estimated)",
}
SHAPES = {"input", "output"}
"""Columns that are never broken, as numbers are not."""
NOT_SEPARABLE = (
    "No comparison with full convolutions: one can stand only for a depthwise convolution that its pointwise one follows "
    "directly, without squeeze-and-excitation between."
)
CONTRACT_STYLES = {"met": "green", "broken": "red", "no contract": "yellow"}


@dataclass(frozen=True)
class Section:
    """One table; the rows of `totals` are set apart from the others."""

    title: str
    columns: Cells
    rows: Sequence[Cells]
    totals: Sequence[Cells] = ()


@dataclass(frozen=True)
class Page:
    """Tables, and the lines below them."""

    sections: list[Section]
    lines: list[Text]


def page(entry: RecipeEntry) -> Page:
    """Return what is to be said of one closely inspected recipe."""
    sections = [_layers(entry), _operators(entry), _memory(entry)]
    lines = [_contract(entry)]
    if entry.full_convolutions:
        sections.insert(2, _full_convolutions(entry))
    else:
        lines.append(Text(NOT_SEPARABLE))
    if entry.roofline:
        lines.append(Text(_roofline(entry)))
    return Page(sections, lines)


def listing(document: InspectDocument) -> Page:
    """Return a row per recipe or variant, and below a line for each recipe that cannot be loaded."""
    columns = ("recipe", "architecture", "variant", "parameters", "multiply-adds", "contract")
    rows = [
        (
            recipe.name,
            recipe.architecture,
            recipe.variant,
            f"{recipe.parameters:,}",
            f"{recipe.multiply_adds:,}",
            recipe.contract,
        )
        for recipe in document.recipes
    ]
    return Page(
        [Section("", columns, rows)],
        [Text(f"{problem.name}: {problem.message}", "red") for problem in document.problems],
    )


def terminal(page: Page) -> RenderableType:
    """Set a page for a terminal."""
    tables = []
    for section in page.sections:
        table = Table(
            title=section.title or None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
        )
        for column in section.columns:
            whole = column in NUMERIC or column in SHAPES
            justify: Literal["left", "right"] = "right" if column in NUMERIC else "left"
            table.add_column(column, justify=justify, overflow="fold", no_wrap=whole)
        for row in section.rows:
            table.add_row(*row)
        table.add_section()
        for row in section.totals:
            table.add_row(*row)
        tables.append(table)
    return Group(*tables, *page.lines)


def markdown(page: Page) -> str:
    """Set a page as Markdown."""
    parts = []
    for section in page.sections:
        align = ["right" if column in NUMERIC else "left" for column in section.columns]
        table = tabulate(
            [*section.rows, *section.totals], section.columns, "pipe", colalign=align, disable_numparse=True
        )
        parts.append(f"### {section.title}\n\n{table}\n" if section.title else f"{table}\n")
    parts += [f"{line.plain}\n" for line in page.lines]
    return "\n".join(parts)


def _layers(entry: RecipeEntry) -> Section:
    """Return the layers; all batch norms are one row, as they fold into the convolutions."""
    assert entry.layers is not None
    columns: Cells = ("layer", "operator", "input", "output", "parameters", "multiply-adds")
    rows = [_row(layer) for layer in entry.layers if layer.operator != "batch norm"]
    norms = sum(layer.parameters for layer in entry.layers if layer.operator == "batch norm")
    totals: list[Cells] = [
        ("", "batch norm (all)", "", "", f"{norms:,}", "0"),
        ("total", "", "", "", f"{entry.parameters:,}", f"{entry.multiply_adds:,}"),
    ]
    if entry.roofline:
        columns += ("ms (estimated)", "bound by (estimated)")
        times = [(f"{time.ms:.4f}", "memory" if time.memory_bound else "compute") for time in entry.roofline.layers]
        rows = [row + time for row, time in zip(rows, times, strict=True)]
        totals = [totals[0] + ("", ""), totals[1] + (f"{entry.roofline.total_ms:.4f}", "")]
    return Section(f"{entry.name}: {entry.architecture} {entry.variant}", columns, rows, totals)


def _row(layer: LayerCost) -> Cells:
    shapes = (_shape(layer.input), _shape(layer.output))
    return (layer.name, layer.operator, *shapes, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")


def _operators(entry: RecipeEntry) -> Section:
    assert entry.operators is not None
    rows = [
        (
            operator.operator,
            f"{operator.parameters:,}",
            f"{operator.parameters_share:.2%}",
            f"{operator.multiply_adds:,}",
            f"{operator.multiply_adds_share:.2%}",
        )
        for operator in entry.operators
    ]
    columns = ("operator", "parameters", "share of parameters", "multiply-adds", "share of multiply-adds")
    return Section("by layer type", columns, rows)


def _full_convolutions(entry: RecipeEntry) -> Section:
    full = entry.full_convolutions
    assert full is not None
    rows = [
        ("depthwise separable", f"{entry.parameters:,}", f"{entry.multiply_adds:,}"),
        ("full", f"{full.parameters:,}", f"{full.multiply_adds:,}"),
        ("ratio", f"{full.parameters / entry.parameters:.2f}", f"{full.multiply_adds / entry.multiply_adds:.2f}"),
    ]
    title = "with full convolutions (derived as in the MobileNetV1 paper, Table 4)"
    return Section(title, ("convolutions", "parameters", "multiply-adds"), rows)


def _memory(entry: RecipeEntry) -> Section:
    memory = entry.memory
    assert memory is not None
    rows = [
        ("activations at their peak", f"{memory.peak_activations.bytes:,}", _sum(memory.peak_activations.shapes)),
        ("weights, fp32", f"{memory.weights_fp32_bytes:,}", "4 bytes per parameter"),
        ("weights, int8", f"{memory.weights_int8_bytes:,}", "1 byte per parameter, without scales"),
    ]
    return Section("memory (derived; activations in float32, one image)", ("what", "bytes", "of"), rows)


def _sum(shapes: Sequence[Shape]) -> str:
    return " + ".join(map(_shape, shapes))


def _contract(entry: RecipeEntry) -> Text:
    style, expected = CONTRACT_STYLES[entry.contract], entry.expected
    if expected is None:
        return Text(f"no contract: the recipe expects nothing of {entry.variant}", style)
    numbers = f"{expected.parameters:,} parameters, {expected.multiply_adds:,} multiply-adds"
    return Text(f"contract {entry.contract}: expected {numbers}", style)


def _roofline(entry: RecipeEntry) -> str:
    assert entry.roofline is not None
    machine = entry.roofline.machine
    return (
        f"Roofline (estimated, a lower bound, float32): {entry.roofline.total_ms:.3f} ms at {machine.peak_gflops:g} GFLOP/s "
        f"and {machine.bandwidth_gbs:g} GB/s; {entry.roofline.memory_bound_share:.0%} of the layers are memory-bound. "
        "Convolutions and linear layers only, every tensor moved once."
    )


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))
