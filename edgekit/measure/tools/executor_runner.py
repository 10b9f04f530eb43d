"""ExecuTorch's benchmark program."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.measure.session import Ended, Session, Subject
from edgekit.measure.tools.brought import Brought, unreadable
from edgekit.protocol import Protocol

WITH_LOG = """"$@" & pid=$!; wait $pid; status=$?
command -v logcat > /dev/null && logcat -d -s ExecuTorch --pid=$pid >&2; exit $status"""
"""Runs a program and prints, after its output, what Android's log has of it."""

ITERATION = re.compile(r"Iteration \d+ of (\d+): ([\d.]+) ms")
LOADED = re.compile(r"Model loaded in ([\d.]+) ms")


class ExecutorRunner(Brought):
    """ExecuTorch's ``executor_runner``, from 2025 on: it prints the time of each run, and warms nothing up.

    So half of the runs, and the first, are taken for warm-up. On Android it may print to the system's log.
    """

    def arguments(self, subject: Subject, protocol: Protocol, cpus: Sequence[int], with_output: bool) -> Sequence[str]:
        """Return the command line of one session; a minimum duration cannot be set."""
        return (
            *("sh", "-c", WITH_LOG, "sh"),
            *self.command,
            *(f"--model_path={subject.model}", f"--inputs={subject.input}", f"--cpu_threads={protocol.threads}"),
            f"--num_executions={1 + 2 * protocol.iterations}",
            *((f"--output_file={subject.output}",) if with_output else ()),
            *self.extra,
        )

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return a file per output."""
        return [f"{base}-{index}.bin" for index in range(count)]

    def read(self, ended: Ended) -> Session:
        """Return the runs after the warm-up; EdgekitError (``crashed``) if the output is not as requested."""
        parsed = parse_executor_runner(f"{ended.completed.stdout}\n{ended.completed.stderr}")
        if parsed is None:
            raise unreadable(ended, "executor_runner")
        load_ns, (first, *runs) = parsed
        warmup = len(runs) // 2
        environment = {**self.facts, "warmup_runs": warmup, "threads_asked": ended.protocol.threads}
        return Session(load_ns, first, tuple(runs[warmup:]), environment, ended.started_at)


def parse_executor_runner(text: str) -> tuple[int, list[int]] | None:
    """Return the time of loading and of each run, in nanoseconds; None if any is missing."""
    loaded, runs = LOADED.search(text), ITERATION.findall(text)
    if loaded is None or not runs or int(runs[0][0]) != len(runs):
        return None
    return round(float(loaded[1]) * 1e6), [round(float(milliseconds) * 1e6) for _, milliseconds in runs]
