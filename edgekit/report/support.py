"""The support matrix: a row per recipe, a cell per target, the reason if it does not compile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgekit.errors import FailureKind
from edgekit.ledger import Ledger
from edgekit.ledger.models import network_hash, network_of
from edgekit.ledger.records import ArtifactRecord, FailureRecord
from edgekit.recipe.arguments import ModelArguments
from edgekit.report import text
from edgekit.report.cells import format_parity
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.numbers import mega
from edgekit.report.sheet import Note, Report, Section

NOT_BUILT = "not built yet"
LEGEND = (
    "A cell: size, seconds to compile, signal-to-noise ratio and top-1 agreement with PyTorch on the parity photos "
    "(derived if the runtime does not run on this machine), and the delegate's parts unless there is exactly one."
)
EMPTY = "The ledger holds no build yet; `edgekit compile --all` makes them."
Network = tuple[str, str, str]
"""Recipe, variant and hash of the network."""


@dataclass(frozen=True)
class SupportRow:
    """A recipe's row: target -> cell, for the targets that a run planned."""

    name: str
    cells: Mapping[str, str]


def support_matrix(ledger: Ledger) -> str:
    """Return the matrix as Markdown."""
    return text.markdown(support_report(ledger))


def support_report(ledger: Ledger) -> Report:
    """Return what became of every recipe x target that any run of the ledger planned; the newest counts.

    Failures are those of building: a failure on a device says nothing about support.
    """
    artifacts, failures = ledger.artifacts(latest=True), _of_building(ledger.failures(latest=True))
    planned = _planned(ledger)
    built = _built(artifacts)
    names = Counter((recipe, variant) for recipe, variant, _ in planned)
    rows = []
    notes: dict[str, None] = {}
    for (recipe, variant, network), own in sorted(planned.items()):
        name = f"{recipe} #{network} {variant}" if names[recipe, variant] > 1 else f"{recipe} {variant}"
        failed = _failed(failures.get((recipe, variant), ()), network)
        cells = {}
        for target in sorted(own):
            # A failure that the ledger still shows is newer than the artifact; one without a target is of all of them.
            failure = failed.get(target) or failed.get(None)
            cells[target] = _cell(built.get((recipe, variant, network), {}).get(target), failure)
            if failure:
                label = FailureKind(failure.failure.kind).label
                notes[f"{name} {failure.target or 'all'}: {label}: {failure.failure.message}"] = None
        rows.append(SupportRow(name, cells))
    below = [Note(LEGEND + _tools(artifacts)), *map(Note, notes)] if rows else []
    return Report([Section(_columns(planned.values()), rows)], below, empty=EMPTY)


def _columns(planned: Iterable[set[str]]) -> list[Column[SupportRow]]:
    recipe: Column[SupportRow] = BY_KEY["recipe"].of(lambda row: row.name)
    return [recipe, *map(_target, sorted(set().union(*planned)))]


def _target(target: str) -> Column[SupportRow]:
    return Column(
        target, target, lambda row: row.cells.get(target), lambda row: row.cells.get(target, " "), shown=shown("always")
    )


def _tools(artifacts: Iterable[ArtifactRecord]) -> str:
    """Return all versions of the tools that built the artifacts."""
    found = {
        f"{name} {version}" for artifact in artifacts for name, version in artifact.manifest.get("tools", {}).items()
    }
    return f" Built with {', '.join(sorted(found))}." if found else ""


def _planned(ledger: Ledger) -> dict[Network, set[str]]:
    """Return each network -> the targets that a run planned to build."""
    cells: dict[Network, set[str]] = {}
    for run in ledger.runs():
        for planned in run.plan.get("recipes", []):
            if recipe := planned.get("recipe"):  # the first edgekit wrote plans of `compile` otherwise
                variant = ModelArguments.model_validate(recipe["model"]).variant
                network = network_hash(recipe["architecture"], recipe["model"])
                cells.setdefault((recipe["name"], variant, network), set()).update(planned["targets"])
    return cells


def _built(artifacts: Iterable[ArtifactRecord]) -> dict[Network, dict[str, ArtifactRecord]]:
    """Return each network -> target -> its newest artifact; `artifacts` come newest first."""
    found: dict[Network, dict[str, ArtifactRecord]] = {}
    for artifact in artifacts:
        network = (artifact.recipe, artifact.variant, network_of(artifact.manifest))
        found.setdefault(network, {}).setdefault(artifact.target, artifact)
    return found


def _of_building(failures: Iterable[FailureRecord]) -> dict[tuple[str, str], list[FailureRecord]]:
    """Return recipe and variant -> the failures on no device, newest first."""
    found: dict[tuple[str, str], list[FailureRecord]] = {}
    for failure in failures:
        if failure.device is None:
            found.setdefault((failure.recipe, failure.variant), []).append(failure)
    return found


def _failed(failures: Iterable[FailureRecord], network: str) -> dict[str | None, FailureRecord]:
    """Return target -> the newest failure to build a network; None is a failure before any target."""
    found: dict[str | None, FailureRecord] = {}
    for failure in failures:
        if not failure.networks or network in failure.networks:
            found.setdefault(failure.target, failure)
    return found


def _cell(artifact: ArtifactRecord | None, failure: FailureRecord | None) -> str:
    if failure:
        return FailureKind(failure.failure.kind).label
    if artifact is None:
        return NOT_BUILT
    manifest = artifact.manifest
    delegation = manifest.get("delegation")
    parts = f", {delegation['partitions']} delegates" if delegation and delegation["partitions"] != 1 else ""
    outside = "" if not delegation or delegation["complete"] else ", operators outside"
    size, seconds = mega(manifest["size_bytes"], 1), manifest["compile_seconds"]
    return f"{size} MB, {seconds:.0f} s, {format_parity(manifest['parity'])}{parts}{outside}"
