"""The runs of a ledger: what each was asked for, how it ended, and how to go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from edgekit.ledger import Ledger
from edgekit.ledger.records import RunCounts, RunRecord
from edgekit.pipeline.run import is_dead
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.notes import notes
from edgekit.report.rows import rows_of
from edgekit.report.sheet import Note, Report, Section
from edgekit.report.tables import overview

DEPLOY = "`edgekit deploy recipes/v3_large.yaml --device host` makes one."
EMPTY = f"The ledger holds no run yet; {DEPLOY}"
RESUMABLE = {"profile", "compile"}
NAMED_AT_MOST = 4


@dataclass(frozen=True)
class RunEntry:
    """A run with what it recorded."""

    run: RunRecord
    counts: RunCounts

    @cached_property
    def status(self) -> str:
        """How it ended. A run whose process was killed is interrupted; the next run writes that to the ledger."""
        return "interrupted" if is_dead(self.run) else self.run.status

    @property
    def recipes(self) -> list[str]:
        """The recipes that it planned."""
        planned = self.run.plan.get("recipes", [])
        return list(dict.fromkeys(entry["recipe"]["name"] for entry in planned if "recipe" in entry))

    @property
    def devices(self) -> list[str]:
        """The profiles of the devices that it planned."""
        return [device["name"] for device in self.run.plan.get("devices", [])]

    @property
    def resume(self) -> str | None:
        """The command that goes on with it; None if it is done, or of a kind that is not resumed."""
        if self.run.command not in RESUMABLE or self.status in {"done", "running"}:
            return None
        return f"edgekit {self.run.command} --resume {self.run.id}"

    @property
    def seconds(self) -> float | None:
        """How long it took; None if it has not ended."""
        ended = self.run.finished_at
        return (ended - self.run.started_at).total_seconds() if ended else None


def _style(entry: RunEntry) -> str:
    return {"done": "green", "running": "cyan"}.get(entry.status, "yellow")


def _minutes(entry: RunEntry) -> str | None:
    return None if entry.seconds is None else f"{entry.seconds / 60:.1f}"


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _names(names: Sequence[str]) -> str | None:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more or None


def _count(name: str, heading: str, rank: int = 4) -> Column[RunEntry]:
    return Column(
        name, heading, lambda entry: getattr(entry.counts, name), align="right", shown=shown("always"), rank=rank
    )


RUNS: tuple[Column[RunEntry], ...] = (
    BY_KEY["run"].of(lambda entry: entry.run.id, shown=shown("always"), rank=0),
    Column(
        "started_at",
        "Started, UTC",
        lambda entry: entry.run.started_at.isoformat(),
        lambda entry: _date(entry.run.started_at),
        shown=shown("always"),
        rank=0,
    ),
    Column("command", "Command", lambda entry: entry.run.command, shown=shown("always"), rank=1),
    BY_KEY["status"].of(lambda entry: entry.status, shown=shown("always"), rank=1, style=_style),
    Column(
        "seconds", "Took", lambda entry: entry.seconds, _minutes, "min", align="right", shown=shown("present"), rank=6
    ),
    Column(
        "recipes",
        "Recipes",
        lambda entry: ", ".join(entry.recipes),
        lambda entry: _names(entry.recipes),
        shown=shown("present"),
        rank=2,
    ),
    Column(
        "devices",
        "Devices",
        lambda entry: ", ".join(entry.devices),
        lambda entry: _names(entry.devices),
        shown=shown("present"),
        rank=3,
    ),
    _count("artifacts", "Built"),
    _count("measurements", "Timed"),
    _count("accuracies", "Evaluated"),
    _count("failures", "Failed", 2),
    BY_KEY["edgekit_version"].of(
        lambda entry: entry.run.edgekit_version, shown=shown("varies", csv="always", json="always")
    ),
    Column("resume", "Go on with", lambda entry: entry.resume, shown=shown("present"), rank=5, below=True),
)


def runs_report(ledger: Ledger, limit: int | None = None) -> Report:
    """Return the newest runs first, `limit` at most."""
    runs, counts = ledger.runs(), ledger.counts()
    entries = [RunEntry(run, counts[run.id]) for run in runs[:limit]]
    older = len(runs) - len(entries)
    below = [Note(f"{older} older runs are not shown: --limit.")] if older else []
    return Report([Section(RUNS, entries)], below, empty=EMPTY)


def run_report(ledger: Ledger, id: str) -> Report:
    """Return one run, and its results with their notes."""
    entry = next(RunEntry(run, ledger.counts()[run.id]) for run in ledger.runs() if run.id == id)
    rows = rows_of(ledger, id)
    sections: list[Section[Any]] = [Section(RUNS, [entry]), *overview(rows).sections]
    asked = [f"Seed {entry.run.seed}, protocol {entry.run.protocol.get('name', 'none')}."]
    return Report(sections, [*map(Note, asked), *notes(rows)], f"Run {id}")
