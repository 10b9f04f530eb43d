"""All about one measurement, small enough for a page of thousands: facts that are shared, and some of the samples."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekit.ledger import Ledger
from edgekit.report.cells import memory_text
from edgekit.report.page.document import Artifact, Detail
from edgekit.report.page.layers import layers_of
from edgekit.report.page.packing import short
from edgekit.report.rows import Row

SAMPLES_OF_ONE = 300
"""At most so many samples of one measurement are in the page,"""
SAMPLES_OF_ALL = 60_000
"""and about so many of all measurements."""
NANOSECONDS = 1e6  # per millisecond
LONG = {"operators", "marks", "replaced_sessions"}
"""Conditions that a page shows otherwise, or not: the samples of repeated sessions stay in the ledger."""
SAMPLE_DIGITS = 4


class Details:
    """The details of measurements, and what they share: artifacts, and facts such as ``threads: 1``, each stored once."""

    def __init__(self, ledger: Ledger, rows: Sequence[Row]) -> None:
        self._ledger = ledger
        self._most = min(SAMPLES_OF_ONE, SAMPLES_OF_ALL // max(1, len(rows)))
        self._facts: dict[tuple[str, str], int] = {}
        self._artifacts: dict[tuple[str, ...], int] = {}
        self.artifacts: list[Artifact] = []
        self.statistics = list(dict.fromkeys(key for row in rows for key, _ in _flat(_shown_summary(row))))
        self.of = {row.measurement_id: self._detail(row) for row in rows if row.measurement_id is not None}

    @property
    def facts(self) -> list[tuple[str, str]]:
        """All facts in the order of their indexes."""
        return list(self._facts)

    def _detail(self, row: Row) -> Detail:
        assert row.measurement_id is not None and row.summary
        sessions = self._ledger.sessions(row.measurement_id)
        each = self._most // max(1, len(sessions))
        statistics = dict(_flat(_shown_summary(row)))
        stored = row.conditions or {}
        shown = {key: value for key, value in stored.items() if key not in LONG}
        marks = [f"session {mark['block'] + 1}: {mark['evidence']}" for mark in row.marks]
        conditions = {**shown, "marks": "; ".join(marks) or "none", "run": row.run, "edgekit": row.edgekit_version}
        layers, profiled = layers_of(stored)
        return Detail(
            artifact=self._artifact(row),
            where=shlex.join(["--device", str(row.device), "--protocol", str(row.protocol)]),
            evidence=row.evidence or "",
            centres=[short(session.centre_ns / NANOSECONDS) for session in sessions if session.centre_ns is not None],
            samples=[thinned(session.samples, each) for session in sessions],
            statistics=[_statistic(statistics.get(key)) for key in self.statistics],
            conditions=self._indexes(conditions),
            memory=memory_text(row) or "",
            layers=layers,
            profiled=profiled,
        )

    def _artifact(self, row: Row) -> int:
        assert row.manifest
        key = (row.manifest["sha256"], row.target, row.recipe, row.variant, str(row.accuracy is None))
        if key not in self._artifacts:
            self._artifacts[key] = len(self.artifacts)
            deploy, evaluate = reproduction(row)
            self.artifacts.append(Artifact(deploy=deploy, evaluate=evaluate, manifest=self._indexes(row.manifest)))
        return self._artifacts[key]

    def _indexes(self, found: Mapping[str, Any]) -> list[int]:
        facts = ((key, _text(value)) for key, value in _flat(found))
        return [self._facts.setdefault(fact, len(self._facts)) for fact in facts]


def _shown_summary(row: Row) -> Mapping[str, Any]:
    """Return a summary without the parts of a sustained measurement if it was none."""
    summary = row.summary or {}
    return summary if summary.get("windows") else {key: value for key, value in summary.items() if "window" not in key}


def reproduction(row: Row) -> tuple[str, str]:
    """Return the commands that measure a row again, but for device and protocol, and that evaluate it.

    They need the row's recipe. The second is empty if the row was never evaluated.
    """
    assert row.manifest
    weights = str(row.manifest["weights"])
    model = row.manifest["model"]  # a user's own network has neither width nor resolution
    overrides = [f"model.{key}={model[key]}" for key in ("width", "resolution") if key in model]
    if weights.startswith("random("):
        overrides.append(f"weights={{random: {weights.removeprefix('random(').partition(')')[0]}}}")
    options = [part for override in overrides for part in ("--set", override)]
    deploy = shlex.join(["edgekit", "deploy", row.recipe, *options, "--target", row.target])
    evaluate = shlex.join(["edgekit", "evaluate", row.recipe, *options, "--target", row.target, "--data"])
    return deploy, f"{evaluate} DIR" if row.accuracy else ""


def thinned(samples: Sequence[int], most: int) -> list[float]:
    """Return at most `most` of the samples (nanoseconds) in ms, evenly spaced, in their order."""
    step = max(1, -(-len(samples) // max(1, most)))
    return [float(f"{sample / NANOSECONDS:.{SAMPLE_DIGITS}g}") for sample in samples[::step]]


def _flat(found: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings, each with the path of its keys."""
    for key, value in found.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _statistic(value: Any) -> float | int | str | None:
    if isinstance(value, float):
        return short(value)
    return value if value is None or isinstance(value, int | str) else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
