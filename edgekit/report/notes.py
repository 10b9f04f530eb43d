"""The notes below a table of rows: what the numbers are, on what, what failed and why. What rows share is written once."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from edgekit.measure.sustained import flips
from edgekit.published import Figure
from edgekit.report.cells import metric_name, sustained_change
from edgekit.report.numbers import number, spread
from edgekit.report.rows import Row
from edgekit.report.sheet import Note

TIMED = frozenset({"latency_ms_measured", "p90_ms", "load_ms", "first_ms"})
ACCURACY = frozenset({"accuracy_this_artifact"})
PAPER = frozenset({"pixel1_ms_published", "pixel2_ms_published", "pixel3_ms_published"})
LATENCY = "Latency: median of session medians [95 % interval, or the confidence that the sessions allow]; "
SCOPES = {
    "inference": "inference only, batch 1.",
    "end-to-end": "end to end: from a frame of 640 x 480 in memory, with preprocessing, to the outputs in memory; batch 1.",
}
MEAN_NOTE = Note("mean: the tool gives neither samples nor a median, so it is the median of session means.", TIMED)
P90_NOTES = {
    0.95: Note("p90: 90th percentile of all runs (≤ its distribution-free upper 95 % bound).", frozenset({"p90_ms"})),
    0.99: Note(
        "p90: 90th percentile of all runs (≤ its 99 % bound by MLPerf's early stopping).", frozenset({"p90_ms"})
    ),
}
"""Confidence of the bound -> the note."""
PAPER_NOTE = "Pixel columns: published, arXiv:1905.02244v5 Tables 3, 6, 7 (fp32) and 4 (int8), single large core; "
ACCURACY_NOTE = (
    "Top-1 (this artifact): of exactly this file, with its 95 % interval "
    "(top-1: Wilson's; mAP and mIoU: bootstrap over photos)"
)
NAMED_AT_MOST = 6
"""How many rows a shared note names."""
MARKS_AT_MOST = 3
"""How many marked sessions a note names."""


def notes(rows: Sequence[Row]) -> list[Note]:
    """Return the notes below a table of rows."""
    found: dict[Note, None] = {}
    scopes = {(row.conditions or {}).get("scope", "inference") for row in rows if row.summary}
    found |= {Note(LATENCY + text, TIMED): None for scope, text in SCOPES.items() if scope in scopes}
    if any(row.summary and row.summary.get("centre") == "mean" for row in rows):
        found[MEAN_NOTE] = None
    bounded = [row.summary for row in rows if row.summary and row.summary["p90_upper"] is not None]
    found |= {P90_NOTES[confidence]: None for confidence in sorted({one["p90_confidence"] for one in bounded})}
    found |= dict.fromkeys(Note(text, ACCURACY) for text in accuracy_notes(rows))
    for part, about in NOTED:
        found |= dict.fromkeys(Note(text, about) for text in part(rows))
    if any(row.paper for row in rows):
        found[Note(PAPER_NOTE + _whose_columns(rows), PAPER)] = None
    found |= dict.fromkeys(Note(text, long=True) for row in rows for text in published_elsewhere(row))
    return list(found)


def accuracy_notes(rows: Sequence[Row]) -> list[str]:
    """Return what a reader has to know of the accuracies: what they are of, and that different photos do not compare."""
    found = [row.accuracy for row in rows if row.accuracy]
    if not found:
        return []
    metrics: dict[str, dict[str, str]] = {}
    for accuracy in found:
        where = f"{accuracy.data_set} ({accuracy.subset_sha256[:8]}, n={accuracy.n})"
        metrics.setdefault(accuracy.metric, {})[accuracy.subset_sha256] = where
    only = [next(iter(subsets.values())) for subsets in metrics.values() if len(subsets) == 1]
    shared = f", on {only[0]}" if len(metrics) == len(only) == 1 else ""
    return [f"{ACCURACY_NOTE}{shared}."] + [
        f"{metric_name(metric)} of different photos does not compare: {', '.join(subsets.values())}."
        for metric, subsets in metrics.items()
        if len(subsets) > 1
    ]


def _conditions(rows: Sequence[Row]) -> list[str]:
    """Return a line for each device and set of conditions, with the dates and temperatures between which it was measured."""
    return [
        _conditions_line(own, own[0].conditions)
        for own in _grouped((row for row in rows if row.summary and row.conditions), _conditions_key)
        if own[0].conditions
    ]


def _conditions_key(row: Row) -> Hashable:
    found = row.conditions or {}
    same = (row.device_label, row.protocol, row.clock_rung, row.emulated, *map(str, (found.get("affinity"),)))
    return (*same, _workers(found), *(found.get(name) for name in ("model", "soc", "os_build")))


def _conditions_line(rows: Sequence[Row], found: dict[str, Any]) -> str:
    known = [found.get(name, "unknown") for name in ("model", "soc", "os_build")]
    days = sorted({f"{row.measured_at:%Y-%m-%d}" for row in rows if row.measured_at})
    measured = f"measured {' to '.join(dict.fromkeys((days[0], days[-1])))}, " if days else ""
    return (
        f"{rows[0].device_label}: {', '.join(known)}; {measured}"
        f"protocol {rows[0].protocol}, {_workers(found)}, "
        f"CPU {_cpus(found)}, "
        f"clock {rows[0].clock_rung}, temperature {_temperatures(rows)}, "
        f"{'emulated' if rows[0].emulated else 'not emulated'}"
        + (f"; imported from {rows[0].source}." if rows[0].source else ".")
    )


def _cpus(found: dict[str, Any]) -> str:
    """Return the CPUs that the program was pinned to. A runtime with more CPUs than threads was not pinned."""
    cpus = found.get("affinity") or []
    return ", ".join(map(str, cpus)) if cpus and len(cpus) == found.get("threads") else "unknown"


def _temperatures(rows: Sequence[Row]) -> str:
    found = {(row.conditions or {})["before"].get("temperature_c", "unknown") for row in rows}
    numbers = [value for value in found if isinstance(value, int | float)]
    return spread(min(numbers), max(numbers), " °C") if numbers else "unknown"


def _workers(found: dict[str, Any]) -> str:
    """Return how many threads did the work, or which units Core ML was allowed and preferred for how many operations."""
    if "compute_units" in found:
        # A plan that changed between sessions is not a condition of the measurement.
        plan = ", ".join(f"{count} {unit}" for unit, count in found.get("compute_plan", {}).items())
        return f"compute units {found['compute_units']} (preferred: {plan or 'not the same in all sessions'})"
    return f"{found.get('threads') or 'unknown'} thread{'' if found.get('threads') == 1 else 's'}"


def _tools(rows: Sequence[Row]) -> list[str]:
    found = [(row, row.conditions) for row in rows if row.summary and row.conditions]
    return [_tool(row, conditions) for row, conditions in found if "runner_arguments" in conditions]


def _tool(row: Row, found: dict[str, Any]) -> str:
    arguments = " ".join(found["runner_arguments"])
    delegated = (
        f", the graph {found['delegated']} on the delegate" if found.get("delegated", "unknown") != "unknown" else ""
    )
    compared = "" if found.get("parity_on_device") else ", outputs not compared with PyTorch's"
    which = f"SHA-256 {found['runner_sha256'][:12]}" if "runner_sha256" in found else found["runner_version"]
    return (
        f"{row.name}: timed by {found['runner']} {arguments}".rstrip()
        + f" ({which}): CPU and threads not verified{compared}{delegated}."
    )


def _verdicts(rows: Sequence[Row]) -> list[str]:
    """Return the evidence of each verdict but ``stable``; rows with the same verdict and next step share a line."""
    judged = [row for row in rows if row.evidence and row.verdict not in {None, "stable"}]
    return [_verdict(own) for own in _grouped(judged, lambda row: (row.verdict, _parts(row)[1]))]


def _marks(rows: Sequence[Row]) -> list[str]:
    """Return the disturbed sessions of each row that its verdict's evidence does not name, and the repeated ones."""
    found = []
    for row in rows:
        first: dict[int, dict[str, Any]] = {}
        for mark in row.marks:
            first.setdefault(mark["block"], mark)
        texts = [f"session {block + 1} ({mark['kind']}: {mark['evidence']})" for block, mark in first.items()]
        if texts and row.verdict not in {"interfered", "throttled"}:
            more = f" and {len(texts) - MARKS_AT_MOST} more" if len(texts) > MARKS_AT_MOST else ""
            found.append(f"{row.name}: marked: {'; '.join(texts[:MARKS_AT_MOST])}{more}.")
        if replaced := (row.conditions or {}).get("replaced_sessions"):
            numbers = ", ".join(str(block + 1) for block in sorted({one["block"] for one in replaced}))
            found.append(f"{row.name}: repeated, because something disturbed its block: session {numbers}.")
    return found


def _energy(rows: Sequence[Row]) -> list[str]:
    """Return what an energy is of."""
    found = ((row.conditions or {}).get("energy", {}) for row in rows)
    sources = dict.fromkeys(one["source"] for one in found if "source" in one)
    if not sources:
        return []
    return [f"Energy: of one inference, derived from the power of {', '.join(sources)}; nothing is subtracted."]


def _loads(rows: Sequence[Row]) -> list[str]:
    """Return what a cold load is, and why there is none if one was requested."""
    found = [(row, row.conditions["cold_load"]) for row in rows if row.conditions and "cold_load" in row.conditions]
    lines = []
    if any("loads" in cold for _, cold in found):
        lines.append("Cold load: median of fresh processes, the model's file dropped from the page cache before each.")
    reasons = dict.fromkeys(cold["unknown"] for _, cold in found if "unknown" in cold)
    for reason in reasons:
        names = _names(row.name for row, cold in found if cold.get("unknown") == reason)
        lines.append(f"{names}: cold load unknown: {reason}.")
    return lines


def _curves(rows: Sequence[Row]) -> list[str]:
    """Return how each sustained latency changed, and which models changed places."""
    found = []
    for own in _grouped((row for row in rows if sustained_change(row) is not None), _conditions_key):
        seconds = (own[0].summary or {})["window_seconds"]
        part, parts = ("minute", "minutes") if seconds == 60 else ("part", f"parts of {seconds:g} s")
        for row in own:
            means = ", ".join(number(mean, 2) for mean in (row.summary or {})["windows"])
            found.append(
                f"{row.name}: means of {parts}: {means} ms; from the first to the last {sustained_change(row):+.0%}."
            )
        names = {row.name: (row.summary or {})["windows"] for row in own}
        found += [
            f"{name} is faster than {other} in the first {part}, and slower in the last."
            for name, other in flips(names)
        ]
    return found


def _ended_early(rows: Sequence[Row]) -> list[str]:
    """Return why measurements have fewer blocks than were asked for beyond the protocol."""
    found = [(row, (row.conditions or {}).get("ended_early")) for row in rows]
    return [f"{row.name}: ended early, after the protocol's sessions: {why}" for row, why in found if why]


def _parts(row: Row) -> tuple[str, str]:
    """Return the evidence, and the next step."""
    evidence, _, step = (row.evidence or "").partition("; ")
    return evidence, step


def _verdict(rows: Sequence[Row]) -> str:
    evidence, step = _parts(rows[0])
    if len(rows) == 1:
        return f"{rows[0].name}: {rows[0].verdict}: {rows[0].evidence}."
    if len({_parts(row)[0] for row in rows}) > 1:
        evidence = f"{_sessions(rows)}, interval ±{_half_widths(rows)} of the median"
    if all(row.summary and row.summary["sessions"] == 1 for row in rows):
        evidence = "1 session each, so no interval"
    return f"{rows[0].verdict} ({len(rows)} rows): {evidence}" + (f"; {step}." if step else ".")


def _sessions(rows: Sequence[Row]) -> str:
    found = [row.summary["sessions"] for row in rows if row.summary]
    return spread(min(found), max(found), " sessions")


def _half_widths(rows: Sequence[Row]) -> str:
    found = sorted(
        (row.summary["interval"]["high"] - row.summary["interval"]["low"]) / 2 / row.summary["median"]
        for row in rows
        if row.summary
    )
    low, high = f"{found[0]:.1%}", f"{found[-1]:.1%}"
    confidences = {row.summary["interval"]["confidence"] for row in rows if row.summary}
    confidence = f" at {confidences.pop():.0%} confidence" if len(confidences) == 1 else ""
    return (low if low == high else f"{low} to {high}") + confidence


def _stopped(rows: Sequence[Row]) -> list[str]:
    """Return which intervals are of sessions whose number depends on their results."""
    names = [row.name for row in rows if row.conditions and "stopping" in row.conditions]
    text = "sessions were added until a comparison was decided. The interval is that of a number fixed before"
    return [f"{_names(names)}: {text}."] if names else []


def _weights(rows: Sequence[Row]) -> list[str]:
    random = [row for row in rows if row.manifest and row.manifest["weights"].startswith("random")]
    return [
        f"{_names(row.title for row in own)}: {own[0].manifest['weights']} weights: latency is valid, accuracy is not."
        for own in _grouped(random, lambda row: (row.manifest or {})["weights"])
        if own[0].manifest
    ]


def _namesakes(rows: Sequence[Row]) -> list[str]:
    """Return what distinguishes a model from another one of the same recipe name and variant."""
    found = []
    for row in rows:
        if row.namesake and row.manifest:
            arguments = {name: value for name, value in row.manifest["model"].items() if value is not None}
            parts = ", ".join(f"{name} {value}" for name, value in arguments.items())
            found.append(f"{row.title}: {row.manifest['architecture']}, {parts}, weights {row.manifest['weights']}.")
    return found


def _failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"{_names(row.name for row in own)}: {own[0].result}: {_reason(own[0])}"
        for own in _grouped((row for row in rows if row.failure), lambda row: (row.result, _reason(row)))
    ]


def _reason(row: Row) -> str:
    """Return a failure's message and hint."""
    failure = row.failure.failure if row.failure else None
    return failure.explanation if failure else ""


def _names(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    more = len(found) - NAMED_AT_MOST
    return ", ".join(found[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _grouped(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    found: dict[Hashable, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return list(found.values())


NOTED: tuple[tuple[Callable[[Sequence[Row]], list[str]], frozenset[str]], ...] = (
    (_conditions, TIMED),
    (_tools, TIMED),
    (_verdicts, TIMED | {"result"}),
    (_stopped, TIMED),
    (_marks, TIMED | {"result"}),
    (_curves, TIMED),
    (_ended_early, TIMED),
    (_loads, frozenset({"cold_load_ms"})),
    (_energy, frozenset({"energy_mj"})),
    (_weights, frozenset()),
    (_namesakes, frozenset()),
    (_failures, frozenset({"result"})),
)
"""What notes are about, in their order."""


def _whose_columns(rows: Sequence[Row]) -> str:
    """Return whether a published column is of the phone that was measured: of its model, with another build and runtime."""
    same = {
        row.conditions["published_as"]: row.device
        for row in rows
        if row.conditions and "published_as" in row.conditions
    }
    parts = [f"{column} is the model of {device}" for column, device in same.items()]
    return f"{', '.join(parts)}, other builds and runtimes." if parts else "other devices than the one measured."


def published_elsewhere(row: Row) -> list[str]:
    """Return a line of what other sources print, accuracies only if they are not all the same."""
    others = [figure for figure in row.published if figure not in set(row.paper.values())]
    accuracies = {figure.accuracy for figure in row.published if figure.accuracy is not None}
    found = {f"{figure.device} {figure.latency_ms:g} ms ({source(figure)})" for figure in others if figure.latency_ms}
    if len(accuracies) > 1:
        found |= {
            f"{figure.accuracy:g} {figure.metric} ({source(figure)})"
            for figure in others
            if figure.accuracy is not None
        }
    return [f"{row.recipe} {row.precision}, published elsewhere: {'; '.join(sorted(found))}."] if found else []


def source(figure: Figure) -> str:
    """Return where a figure is printed, for people: without commits, with the table and with a special precision."""
    table = f", Table {figure.table}" if figure.table and "Table" not in figure.source else ""
    word = "" if figure.precision in {"float32", "uint8"} else f", {figure.precision}"
    return re.sub(r"@[0-9a-f]{40}", "", figure.source) + table + word
