"""The table of a paper: a row per network, a column per device, float and quantized apart (arXiv:1905.02244, Tables 3 and 4)."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from edgekit.published import PHONES
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.notes import ACCURACY, PAPER, TIMED, notes
from edgekit.report.numbers import with_interval
from edgekit.report.rows import Row, comparable
from edgekit.report.sheet import Note, Report, Section
from edgekit.report.tables import EMPTY

VERDICT_MARKS = {
    "stable": "",
    "preliminary": "*",
    "noisy": "~",
    "drifting": "/",
    "not_steady": "^",
    "throttled": "!",
    "interfered": "x",
    "fallback": "f",
}
KIND_MARKS = {"measured": "", "derived": "(d)", "estimated": "(e)", "predicted": "(r)", "published": "(p)"}
FLOAT, QUANTIZED = "Float", "Quantized"
Setup = tuple[str | None, ...]


@dataclass
class Line:
    """A row of the table: one artifact by one runtime, or what failed before there was one. `cells` go by device."""

    first: Row
    cells: dict[Setup, Row] = field(default_factory=dict)

    @property
    def fastest(self) -> float:
        """The least median, in ms; infinite if nothing was measured."""
        return min((row.summary["median"] for row in self.cells.values() if row.summary), default=float("inf"))


def paper_report(rows: Sequence[Row], title: str = "", keys: Sequence[str] = ()) -> Report:
    """Return the table of these rows, the fastest network first; a section for each precision and for each clock."""
    sections = [
        Section(_columns(lines), lines, _heading(precision, lines, heading))
        for heading, own in _parts(rows).items()
        for precision in (FLOAT, QUANTIZED)
        if (lines := _lines([row for row in own if _class(row) == precision]))
    ]
    return Report(sections, [*_legend(rows), *_notes(rows)], title, EMPTY, keys)


def cell(row: Row) -> str:
    """Return ``median [low, high]`` in ms with the marks of verdict and kind, or why there is none."""
    if not row.summary:
        return row.result if row.failure else ""
    interval = row.summary["interval"]
    verdict = VERDICT_MARKS.get(row.verdict or "", f" {row.verdict}")
    kind = KIND_MARKS[row.kind]
    return f"{with_interval(row.summary['median'], interval['low'], interval['high'], 2)}{verdict}" + (
        f" {kind}" if kind else ""
    )


def _heading(precision: str, lines: Sequence[Line], part: str) -> str:
    """Return the section's heading, with the target if all lines have one."""
    targets = {line.first.target for line in lines}
    only = f" ({targets.pop()})" if len(targets) == 1 else ""
    return "; ".join(text for text in (f"{precision}{only}", part) if text)


def _class(row: Row) -> str:
    return QUANTIZED if row.precision.startswith("int") else FLOAT


def _parts(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by table. Unmeasured rows are with the rows of the same device."""
    parts = comparable(rows)
    others = parts.pop("Not measured", [])
    if not parts:
        return {"": others}
    for row in others:
        same = [own for own in parts.values() if row.device is None or row.device in {other.device for other in own}]
        for own in same or [next(iter(parts.values()))]:
            own.append(row)
    return parts


def _lines(rows: Sequence[Row]) -> list[Line]:
    lines: dict[Hashable, Line] = {}
    for row in rows:
        if row.summary:
            lines.setdefault(_line_key(row), Line(row)).cells[row.setup] = row
    by_model: dict[Hashable, list[Line]] = {}
    for line in lines.values():
        by_model.setdefault(_model_key(line.first), []).append(line)
    setups = list(dict.fromkeys(setup for line in lines.values() for setup in line.cells))
    for row in rows:
        if not row.summary:
            _add_unmeasured(row, by_model.setdefault(_model_key(row), []), setups)
    found = [line for own in by_model.values() for line in own]
    return sorted(found, key=lambda line: (line.fastest, line.first.title, line.first.target))


def _line_key(row: Row) -> Hashable:
    """Return what the cells of a line share: artifact, target and versions. Accuracy belongs to its artifact."""
    found = row.conditions or {}
    sha256 = (row.manifest or {}).get("sha256")
    return (*_model_key(row), sha256, found.get("runtime_version"), row.edgekit_version)


def _model_key(row: Row) -> tuple[str, str]:
    return (row.title, row.target)


def _add_unmeasured(row: Row, lines: list[Line], setups: Sequence[Setup]) -> None:
    """Put a failure into the cells of its device, or of all devices if none was reached."""
    if not lines:
        lines.append(Line(row))
    own = [setup for setup in setups if row.device is None or (setup[0] or "").split(" ")[0] == row.device]
    for line in lines:
        for setup in own or [row.setup] if row.failure else []:
            line.cells.setdefault(setup, row)


def _columns(lines: Sequence[Line]) -> list[Column[Line]]:
    def first(line: Line) -> Row:
        return line.first

    setups = list(dict.fromkeys(setup for line in lines for setup in line.cells))
    several = len({line.first.runtime for line in lines}) > 1
    kept = ("accuracy_this_artifact", "accuracy_photos", "accuracy_data_set", "accuracy_published_low")
    apart = ("runtime_version", "edgekit_version", "artifact_sha256")
    runtime = replace(BY_KEY["target"], shown=shown("always" if several else "varies"))
    columns = [BY_KEY["recipe"].lifted(first), runtime.lifted(first)]
    columns += [BY_KEY[key].lifted(first, rank=3) for key in kept]
    columns += [BY_KEY[key].lifted(first, rank=4) for key in ("multiply_adds", "parameters")]
    columns += [replace(BY_KEY[key], identity=True).lifted(first, shown={}) for key in apart]
    for setup, name in zip(setups, _names(setups), strict=True):
        columns += _device(setup, name)
    phones = [f"{phone.lower().replace(' ', '')}_ms_published" for phone in PHONES]
    return columns + [BY_KEY[key].lifted(first, rank=5) for key in phones]


def _device(setup: Setup, name: str) -> list[Column[Line]]:
    """Return the column of a device for people, and those for machines: median, interval and result."""
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")

    def own(line: Line) -> Row | None:
        return line.cells.get(setup)

    def text(line: Line) -> str | None:
        return cell(line.cells[setup]) if setup in line.cells else None

    def machine(key: str, suffix: str) -> Column[Line]:
        return BY_KEY[key].lifted(own, key=f"{slug}_{suffix}", heading=name, shown=shown(), identity=False)

    median = machine("latency_ms_measured", "ms")
    return [
        replace(median, text=text, kind="", shown=shown("always")),
        machine("interval_low_ms", "low_ms"),
        machine("interval_high_ms", "high_ms"),
        machine("result", "result"),
    ]


def _names(setups: Sequence[Setup]) -> list[str]:
    """Return the devices' names, with what distinguishes two columns of one device."""
    devices = [setup[0] or "?" for setup in setups]
    labels = ("", "", "{} runner", "runner {:.8}", "{} threads", "clock {}", "emulated {}", "imported from {}")
    varying = [index for index in range(1, len(labels)) if len({setup[index] for setup in setups}) > 1]
    return [
        ", ".join(
            [device]
            + [
                (labels[index] or "{}").format(setup[index])
                for index in varying
                if setup[index] is not None and devices.count(device) > 1
            ]
        )
        for device, setup in zip(devices, setups, strict=True)
    ]


def _legend(rows: Sequence[Row]) -> list[Note]:
    """Return the marks that the table has."""
    verdicts = dict.fromkeys(row.verdict for row in rows if row.summary and VERDICT_MARKS.get(row.verdict or ""))
    kinds = dict.fromkeys(row.kind for row in rows if row.summary and KIND_MARKS[row.kind])
    marks = [f"{VERDICT_MARKS[verdict or '']} {verdict}" for verdict in verdicts]
    marks += [f"{KIND_MARKS[kind]} {kind}" for kind in kinds]
    plain = "A cell: median [95 % interval] in ms, inference only, batch 1; without a mark measured and stable"
    return [Note("; ".join([plain, *marks]) + ". A word is the reason for a missing number.")]


def _notes(rows: Sequence[Row]) -> list[Note]:
    """Return the notes of the rows that this table has columns for."""
    about = TIMED | {"result"}
    return [
        replace(note, about=note.about & (ACCURACY | PAPER))
        for note in notes(rows)
        if not note.long and not note.text.startswith(("Latency:", "p90:"))
        if not note.about or note.about & (about | ACCURACY | PAPER)
    ]
