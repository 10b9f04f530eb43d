"""Which recipe compiles for which target: a row per recipe, a cell per target, the reason where it does not."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.errors import FailureKind
from edgekit.ledger import Ledger
from edgekit.ledger.records import ArtifactRecord, FailureRecord
from edgekit.recipe import ModelArguments
from edgekit.report.tables import told_parity

NOT_BUILT = "not built yet"
LEGEND = (
    "A cell: size, seconds to compile, signal-to-noise ratio and top-1 agreement with PyTorch on 16 photos "
    "(derived where the runtime does not run on this machine), and the delegate's parts where there is not exactly one."
)


def support_matrix(ledger: Ledger) -> str:
    """Return, as Markdown, what became of every recipe x target that any run of the ledger planned; the newest counts.

    Of failures those of building: what befell an artifact on a device is no matter of support.
    """
    artifacts = {(one.recipe, one.variant, one.target): one for one in ledger.artifacts(latest=True)}
    failures = {
        (one.recipe, one.variant, one.target): one for one in ledger.failures(latest=True) if one.device is None
    }
    planned = _planned(ledger)
    targets = sorted({target for _, _, target in planned})
    table = []
    notes: dict[str, None] = {}
    for recipe, variant in sorted({(recipe, variant) for recipe, variant, _ in planned}):
        cells = {"recipe": f"{recipe} {variant}"}
        for target in targets:
            cell = (recipe, variant, target)
            # A failure that the ledger still shows is newer than the artifact; one without a target is of all of them.
            failure = failures.get(cell) or failures.get((recipe, variant, None))
            cells[target] = _cell(artifacts.get(cell), failure) if cell in planned else ""
            if failure:
                label = FailureKind(failure.failure.kind).label
                notes[f"- {recipe} {variant} {failure.target or 'all'}: {label}: {failure.failure.message}"] = None
        table.append(cells)
    if not table:
        return "The ledger holds no build yet; `edgekit compile --all` makes them.\n"
    import pandas as pd

    lines = pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)
    below = "\n".join(notes)
    return f"{lines}\n\n{LEGEND}{_tools(artifacts.values())}\n" + (f"\n{below}\n" if notes else "")


def _tools(artifacts: Iterable[ArtifactRecord]) -> str:
    """Return the versions of what built the artifacts, each version where there were several."""
    found = {f"{name} {version}" for one in artifacts for name, version in one.manifest.get("tools", {}).items()}
    return f" Built with {', '.join(sorted(found))}." if found else ""


def _planned(ledger: Ledger) -> set[tuple[str, str, str]]:
    """Return recipe, variant and target of everything that a run set out to build."""
    cells = set()
    for run in ledger.runs():
        for planned in run.plan.get("recipes", []):
            if recipe := planned.get("recipe"):  # the first edgekit wrote plans of `compile` otherwise
                variant = ModelArguments.model_validate(recipe["model"]).variant
                cells |= {(recipe["name"], variant, target) for target in planned["targets"]}
    return cells


def _cell(artifact: ArtifactRecord | None, failure: FailureRecord | None) -> str:
    if failure:
        return FailureKind(failure.failure.kind).label
    if artifact is None:
        return NOT_BUILT
    manifest = artifact.manifest
    delegation = manifest.get("delegation")
    parts = f", {delegation['partitions']} delegates" if delegation and delegation["partitions"] != 1 else ""
    outside = "" if not delegation or delegation["complete"] else ", operators outside"
    size, seconds = manifest["size_bytes"] / 1e6, manifest["compile_seconds"]
    return f"{size:.1f} MB, {seconds:.0f} s, {told_parity(manifest['parity'])}{parts}{outside}"
