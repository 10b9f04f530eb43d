"""Which recipe compiles for which target: a row per recipe, a cell per target, the reason where it does not."""

from __future__ import annotations

import pandas as pd

from edgekit.ledger import Ledger
from edgekit.report.rows import Row, rows_of
from edgekit.report.tables import parity

NOT_BUILT = "not built yet"
EVERY_TARGET = "all"
LEGEND = (
    "A cell: size, seconds to compile, signal-to-noise ratio and top-1 agreement with PyTorch on 16 photos "
    "(derived where the runtime does not run on this machine), and the delegate's parts where there is not exactly one."
)


def support_matrix(ledger: Ledger) -> str:
    """Return, as Markdown, what became of every recipe x target that any run of the ledger planned; the newest counts."""
    rows = {(row.recipe, row.variant, row.target): row for row in rows_of(ledger)}
    planned = _planned(ledger)
    targets = sorted({target for _, _, target in planned})
    table = []
    notes: dict[str, None] = {}
    for recipe, variant in sorted({(recipe, variant) for recipe, variant, _ in planned}):
        cells = {"recipe": f"{recipe} {variant}"}
        for target in targets:
            row = rows.get((recipe, variant, target)) or rows.get((recipe, variant, EVERY_TARGET))
            cells[target] = _cell(row) if (recipe, variant, target) in planned else ""
            if row and row.failure:
                notes[f"- {recipe} {variant} {row.target}: {row.result}: {row.failure.failure.message}"] = None
        table.append(cells)
    if not table:
        return "The ledger holds no build yet; `edgekit compile --all` makes them.\n"
    lines = pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)
    below = "\n".join(notes)
    return f"{lines}\n\n{LEGEND}\n" + (f"\n{below}\n" if notes else "")


def _planned(ledger: Ledger) -> set[tuple[str, str, str]]:
    """Return recipe, variant and target of everything that a run set out to build."""
    from edgekit.recipe import Recipe

    cells = set()
    for run in ledger.runs():
        for planned in run.plan.get("recipes", []):
            recipe = Recipe.model_validate(planned["recipe"])
            cells |= {(recipe.name, recipe.model.variant, target) for target in planned["targets"]}
    return cells


def _cell(row: Row | None) -> str:
    if row is None:
        return NOT_BUILT
    if row.failure:
        return row.result
    assert row.manifest
    delegation = row.manifest.get("delegation")
    parts = f", {delegation['partitions']} delegates" if delegation and delegation["partitions"] != 1 else ""
    outside = "" if not delegation or delegation["complete"] else ", operators outside"
    size, seconds = row.manifest["size_bytes"] / 1e6, row.manifest["compile_seconds"]
    return f"{size:.1f} MB, {seconds:.0f} s, {parity(row)}{parts}{outside}"
