"""The accuracy of each candidate: of exactly its artifact, on the photos that most candidates share; else published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.ledger.records import AccuracyRecord
from edgekit.report.rows import Row
from edgekit.selection.candidates import Accuracy, Candidate, Key, Problem, Reason
from edgekit.selection.question import AccuracyKind

PUBLISHED_METRICS = {"top-1 %": "top1", "mAP": "map", "mIOU %": "miou"}
"""What published tables say -> our metric."""
LABELS = {"top1": "Top-1", "map": "mAP", "miou": "mIoU"}
"""Metric -> what people read."""


@dataclass(frozen=True)
class Basis:
    """What the accuracies of a selection are: their kind, their metric, and on which photos."""

    kind: str
    metric: str
    data_set: str | None
    subset_sha256: str | None
    note: str


def add_accuracies(
    candidates: Sequence[Candidate],
    excluded: Sequence[Candidate],
    records: Sequence[AccuracyRecord],
    devices: Sequence[str],
    kind: AccuracyKind | None,
) -> Basis:
    """Give candidates their accuracies and name those without one; return what the accuracies are.

    `records` are newest first, `devices` ids. `kind` None: measured ones, or published ones if nothing was measured.
    On one device, what that device computed comes before what the host computed. What is `excluded` decides nothing; it
    gets an accuracy as well, from which the worth of measuring it follows.
    """
    by_artifact: defaultdict[tuple[str | None, str], list[AccuracyRecord]] = defaultdict(list)
    for record in records:
        by_artifact[record.artifact_sha256, record.target].append(record)
    measured = {
        candidate.key: _measured(by_artifact[candidate.sha256, candidate.target], devices)
        for candidate in (*candidates, *excluded)
    }
    fallback = kind is None and not any(measured[candidate.key] for candidate in candidates)
    if fallback or kind == "published":
        measured = {key: [] for key in measured}
    published: dict[Key, Accuracy] = {}
    if fallback or kind in {"published", "any"}:
        published = {candidate.key: found for candidate in (*candidates, *excluded) if (found := _published(candidate))}
    firsts = [next(iter(measured[candidate.key]), published.get(candidate.key)) for candidate in candidates]
    metric = _most_common([first.metric for first in firsts if first])
    subset = _common_subset([measured[candidate.key] for candidate in candidates], metric)
    for candidate in (*candidates, *excluded):
        own = [found for found in measured[candidate.key] if (found.metric, found.subset_sha256) == (metric, subset)]
        other = published.get(candidate.key)
        candidate.accuracy = own[0] if own else other if other and other.metric == metric else None
    for candidate in candidates:
        if candidate.accuracy is None:
            candidate.problems.append(_missing(candidate, measured[candidate.key], metric))
    return _basis(candidates, metric, subset, fallback)


def _measured(records: Sequence[AccuracyRecord], devices: Sequence[str]) -> list[Accuracy]:
    """Return the accuracies of one artifact: of its device first, then of the most photos, then the newest."""
    own = [record for record in records if record.device_id is None or [record.device_id] == list(devices)]
    own.sort(key=lambda record: (record.device_id is None, -record.n))
    return [found for record in own if (found := _of_record(record))]


def _of_record(record: AccuracyRecord) -> Accuracy | None:
    """Return a record's chief metric; None if it has no interval: then nothing is known of its error."""
    chief, comparison = record.metrics[record.metric], record.comparison or {}
    if chief["interval"] is None:
        return None
    paired = comparison.get("only_this") is not None and comparison.get("n") == record.n
    return Accuracy(
        value=chief["value"],
        interval=(chief["interval"][0], chief["interval"][1]),
        kind=record.kind,
        metric=record.metric,
        n=record.n,
        data_set=record.data_set,
        subset_sha256=record.subset_sha256,
        baseline=comparison["against_sha256"] if paired else None,
        only_this=comparison["only_this"] if paired else None,
        only_that=comparison["only_that"] if paired else None,
    )


def _published(candidate: Candidate) -> Accuracy | None:
    """Return what was published of a candidate's network at its precision; its interval is the range of the sources."""
    if candidate.manifest is None:
        return None
    row = Row(candidate.recipe, candidate.variant, candidate.target, "measured", manifest=candidate.manifest)
    if row.published_accuracy is None:
        return None
    low, high, metric = row.published_accuracy
    return Accuracy((low + high) / 2, (low, high), "published", PUBLISHED_METRICS[metric])


def _most_common(metrics: Sequence[str]) -> str:
    """Return the metric that occurs most, by name if several do; top-1 without any."""
    return max(sorted(set(metrics)), key=metrics.count) if metrics else "top1"


def _common_subset(measured: Sequence[Sequence[Accuracy]], metric: str) -> str | None:
    """Return the photos, by their hash, on which most candidates were evaluated; those with more photos if several are."""
    candidates: defaultdict[str, int] = defaultdict(int)
    photos: dict[str, int] = {}
    for own in measured:
        for subset in {
            accuracy.subset_sha256 for accuracy in own if accuracy.metric == metric and accuracy.subset_sha256
        }:
            candidates[subset] += 1
        photos |= {accuracy.subset_sha256: accuracy.n or 0 for accuracy in own if accuracy.subset_sha256}
    return max(candidates, key=lambda subset: (candidates[subset], photos[subset], subset), default=None)


def _missing(candidate: Candidate, own: Sequence[Accuracy], metric: str) -> Problem:
    hint = f"edgekit evaluate {candidate.recipe} --target {candidate.target} --data DIR"
    if any(accuracy.metric != metric for accuracy in own):
        return Problem(Reason.other_metric, f"has {LABELS[own[0].metric]}, the others {LABELS[metric]}")
    if own:
        return Problem(Reason.other_photos, f"evaluated on other photos: {own[0].data_set}, n={own[0].n}", hint)
    return Problem(Reason.no_accuracy, "no accuracy of this artifact", hint)


def _basis(candidates: Sequence[Candidate], metric: str, subset: str | None, fallback: bool) -> Basis:
    found = [candidate.accuracy for candidate in candidates if candidate.accuracy]
    kinds = sorted({accuracy.kind for accuracy in found}) or ["none"]
    data = next((accuracy for accuracy in found if accuracy.subset_sha256), None)
    notes = []
    if data:
        notes.append(f"{LABELS[metric]} of each artifact on {data.data_set}, {data.n} photos.")
    if "published" in kinds:
        notes.append("Published accuracies are those of the sources' weights, not of these artifacts.")
    if fallback:
        notes.append(
            "The ledger has no measured accuracy of these artifacts: edgekit evaluate RECIPE --target T --data DIR."
        )
    return Basis(" and ".join(kinds), metric, data.data_set if data else None, subset, " ".join(notes))
