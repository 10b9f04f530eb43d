"""Which recipe compiles for which target: a row per recipe, a cell per target, the reason where it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edgekit.errors import FailureKind
from edgekit.ledger import Ledger
from edgekit.ledger.models import network_hash, network_of
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
    artifacts, failures = ledger.artifacts(latest=True), ledger.failures(latest=True)
    planned = _planned(ledger)
    targets = sorted({target for found in planned.values() for target in found})
    names = Counter((recipe, variant) for recipe, variant, _ in planned)
    table = []
    notes: dict[str, None] = {}
    for (recipe, variant, network), own in sorted(planned.items()):
        name = f"{recipe} #{network} {variant}" if names[recipe, variant] > 1 else f"{recipe} {variant}"
        built = {one.target: one for one in reversed(artifacts) if _is_of(one, recipe, variant, network)}
        failed = {
            one.target: one
            for one in reversed(failures)
            if one.device is None and (one.recipe, one.variant) == (recipe, variant)
            if not one.networks or network in one.networks
        }
        cells = {"recipe": name}
        for target in targets:
            # A failure that the ledger still shows is newer than the artifact; one without a target is of all of them.
            failure = failed.get(target) or failed.get(None)
            cells[target] = _cell(built.get(target), failure) if target in own else ""
            if failure:
                label = FailureKind(failure.failure.kind).label
                notes[f"- {name} {failure.target or 'all'}: {label}: {failure.failure.message}"] = None
        table.append(cells)
    if not table:
        return "The ledger holds no build yet; `edgekit compile --all` makes them.\n"
    import pandas as pd

    lines = pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)
    below = "\n".join(notes)
    return f"{lines}\n\n{LEGEND}{_tools(artifacts)}\n" + (f"\n{below}\n" if notes else "")


def _tools(artifacts: Iterable[ArtifactRecord]) -> str:
    """Return the versions of what built the artifacts, each version where there were several."""
    found = {f"{name} {version}" for one in artifacts for name, version in one.manifest.get("tools", {}).items()}
    return f" Built with {', '.join(sorted(found))}." if found else ""


def _planned(ledger: Ledger) -> dict[tuple[str, str, str], set[str]]:
    """Return recipe, variant and hash of the network -> the targets that a run set out to build."""
    cells: dict[tuple[str, str, str], set[str]] = {}
    for run in ledger.runs():
        for planned in run.plan.get("recipes", []):
            if recipe := planned.get("recipe"):  # the first edgekit wrote plans of `compile` otherwise
                variant = ModelArguments.model_validate(recipe["model"]).variant
                network = network_hash(recipe["architecture"], recipe["model"])
                cells.setdefault((recipe["name"], variant, network), set()).update(planned["targets"])
    return cells


def _is_of(artifact: ArtifactRecord, recipe: str, variant: str, network: str) -> bool:
    return (artifact.recipe, artifact.variant, network_of(artifact.manifest)) == (recipe, variant, network)


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
