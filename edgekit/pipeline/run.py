"""One run in the ledger: where it keeps its logs, how it fails, and how it ends."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from edgekit.cache.store import in_use
from edgekit.config.paths import cache_folder
from edgekit.errors import Failure, UsageError, failure_of
from edgekit.ledger import Ledger
from edgekit.ledger.records import RunRecord
from edgekit.pipeline.plan import Plan, Progress


@dataclass(frozen=True)
class Run:
    """A run that is under way."""

    id: str
    ledger: Ledger
    progress: Progress
    seed: int

    @property
    def logs(self) -> Path:
        """The folder of what converters printed."""
        return cache_folder() / "logs" / self.id

    def fail(
        self,
        failure: Failure,
        plan: Plan,
        target: str | None = None,
        device: str | None = None,
        artifact_sha256: str | None = None,
    ) -> None:
        """Record a failure and what it befell."""
        self.ledger.record_failure(
            self.id,
            failure,
            recipe=plan.recipe.name,
            variant=plan.recipe.model.variant,
            target=target,
            device=device,
            artifact_sha256=artifact_sha256,
        )


def under_way(run: RunRecord) -> UsageError:
    """Return the error for a run that somebody else is going on with."""
    process = run.plan.get("process") or {"pid": "unknown", "host": "unknown"}
    message = f"Run {run.id} is under way in process {process['pid']} of {process['host']}."
    if is_elsewhere(run):
        hint = (
            f"Wait for it, or end it. If that machine is gone: `edgekit {run.command} --resume {run.id}` takes it over."
        )
        return UsageError(message, hint)
    return UsageError(message, "Wait for it, or end it.")


def is_elsewhere(run: RunRecord) -> bool:
    """Say whether a run is that of another machine, so that nobody here can see whether its process lives."""
    process = run.plan.get("process")
    return process is not None and process["host"] != platform.node()


def this_process() -> dict[str, Any]:
    """Return what tells later whether the process that made a run still lives."""
    return {"host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_dead(run: RunRecord) -> bool:
    """Say whether the ledger calls a run of this machine running, and its process is gone."""
    process = run.plan.get("process")
    if run.status != "running" or not process or is_elsewhere(run):
        return False
    return bool(_started(process["pid"]) != process["started"])


def mark_dead_runs(ledger: Ledger, progress: Progress) -> None:
    """Progress of runs of this machine whose process is gone without a word, and record that they were interrupted."""
    for run in ledger.runs():
        if is_dead(run):
            ledger.finish_run(run.id, "interrupted")
            resumable = run.command in {"profile", "compile"}
            resume = f" `edgekit {run.command} --resume {run.id}` goes on with it." if resumable else ""
            if run.command == "evaluate":
                resume = " Start it again: what it had evaluated comes from the cache."
            progress(f"Run {run.id} ({run.command}) was cut off; what it had measured is in the ledger.{resume}")


@contextmanager
def begun(
    ledger: Ledger, command: str, plan: dict[str, Any], protocol: dict[str, Any], seed: int, progress: Progress
) -> Iterator[Run]:
    """Begin a run, and end it in the ledger however it ends."""
    mark_dead_runs(ledger, progress)
    run = Run(ledger.begin_run(command, seed, protocol, {**plan, "process": this_process()}), ledger, progress, seed)
    with ending(run, command):
        yield run


@contextmanager
def ending(run: Run, command: str) -> Iterator[None]:
    """Record how a run ends: done, failed (a cell or the run itself), or interrupted. What it finds in the cache stays there."""
    try:
        with in_use():
            yield
    except KeyboardInterrupt:
        run.ledger.finish_run(run.id, "interrupted")
        run.progress(f"Interrupted: the sessions that were done are in the ledger, run {run.id}.")
        raise
    except Exception as error:
        # Cells that fail are recorded where they do; what arrives here ends the run: the ledger itself, or a bug.
        run.ledger.record_failure(run.id, failure_of(error, command), recipe="all", variant="")
        run.ledger.finish_run(run.id, "failed")
        raise
    run.ledger.finish_run(run.id, "failed" if run.ledger.failures(run.id, latest=True) else "done")


def _started(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks since the boot; None if there is no such process.

    Both times follow changes of the system's clock, and their difference does not.
    """
    try:
        seconds = psutil.Process(pid).create_time() - psutil.boot_time()
    except psutil.NoSuchProcess:
        return None
    return str(round(seconds * os.sysconf("SC_CLK_TCK")))
