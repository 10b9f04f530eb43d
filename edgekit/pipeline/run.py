"""One run in the ledger: its logs, its failures and its end."""

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
from edgekit.errors import Failure, FailureKind, UsageError, failure_of
from edgekit.ledger import Ledger
from edgekit.ledger.records import RunRecord
from edgekit.pipeline.plan import Plan, Progress

LOST = {FailureKind.link_lost, FailureKind.offline, FailureKind.rebooted}
"""Failures after which a device may be reached again."""
RESUMABLE = {"profile", "deploy", "compile"}
"""Commands that have --resume."""


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
        """Record a failure and the cell that failed."""
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
    """Return the error for a run that another process continues."""
    process = run.plan.get("process") or {"pid": "unknown", "host": "unknown"}
    message = f"Run {run.id} is under way in process {process['pid']} of {process['host']}."
    if is_elsewhere(run):
        command = f"edgekit {run.command} --resume {run.id}"
        hint = f"Wait for it, or stop it. If that machine no longer exists, take it over: `{command}`"
        return UsageError(message, hint)
    return UsageError(message, "Wait for it, or stop it.")


def is_elsewhere(run: RunRecord) -> bool:
    """Return whether a run is of another machine, so that its process cannot be checked."""
    process = run.plan.get("process")
    return process is not None and process["host"] != platform.node()


def this_process() -> dict[str, Any]:
    """Return the facts that later show whether this process is still alive."""
    return {"host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_dead(run: RunRecord) -> bool:
    """Return whether a run of this machine is marked as running but its process has ended."""
    process = run.plan.get("process")
    if run.status != "running" or not process or is_elsewhere(run):
        return False
    return bool(_started(process["pid"]) != process["started"])


def mark_dead_runs(ledger: Ledger, progress: Progress) -> None:
    """Report runs of this machine whose process was killed, and record them as interrupted."""
    for run in ledger.runs():
        if is_dead(run):
            ledger.finish_run(run.id, "interrupted")
            resume = f" `edgekit {run.command} --resume {run.id}` continues it." if run.command in RESUMABLE else ""
            if run.command == "evaluate":
                resume = " Start it again: finished evaluations come from the cache."
            progress(f"Run {run.id} ({run.command}) was interrupted. Its measurements are in the ledger.{resume}")


def how_to_continue(run: Run, command: str) -> str | None:
    """Return what a run that lost a device has kept, and the command that continues it; None if there is none."""
    if command not in RESUMABLE:
        return None
    lost = {failure.device for failure in run.ledger.failures(run.id, latest=True) if failure.failure.kind in LOST}
    names = ", ".join(sorted(name for name in lost if name))
    if not names:
        return None
    kept, unfinished = run.ledger.session_counts(run.id)
    again = f", and {unfinished} of unfinished cells are measured again" if unfinished else ""
    return (
        f"{names} could not be reached to the end. {kept} sessions of finished cells are kept in the ledger{again}. "
        f"Continue: edgekit {command} --resume {run.id}"
    )


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
    """Record the end of a run: done, failed (a cell or the run) or interrupted. Its cache entries stay meanwhile."""
    try:
        with in_use():
            yield
    except KeyboardInterrupt:
        run.ledger.finish_run(run.id, "interrupted")
        run.progress(f"Interrupted. Finished sessions are in the ledger, run {run.id}.")
        raise
    except Exception as error:
        # Failed cells are recorded elsewhere. An error here ends the run: the ledger fails, or a bug.
        run.ledger.record_failure(run.id, failure_of(error, command), recipe="all", variant="")
        run.ledger.finish_run(run.id, "failed")
        raise
    if said := how_to_continue(run, command):
        run.progress(said)
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
