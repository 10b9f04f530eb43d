"""One session: a fresh process on the device that loads an artifact, warms up and iterates, and what it reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekit import protocol as protocols
from edgekit.devices.base import Completed, Device
from edgekit.errors import EdgekitError, Failure, FailureKind
from edgekit.measure.gate import wait_until_cool
from edgekit.measure.statistics import ReportedStats, session_centre
from edgekit.runners import last_words

KILLED = {137, -9}
"""How SIGKILL shows as an exit status, through a shell and from the kernel: mostly the out-of-memory killer."""


@dataclass(frozen=True)
class Session:
    """The report of one process. Times in nanoseconds; `samples` are all timed runs in order; `started_at` is the host's.

    A program without samples gives statistics of them: `reported`.
    """

    load_ns: int
    first_ns: int
    samples: tuple[int, ...]
    environment: dict[str, Any]
    started_at: datetime
    reported: ReportedStats | None = None

    @property
    def centre(self) -> float:
        """The session's median in milliseconds; see :func:`edgekit.measure.statistics.session_centre`."""
        return session_centre(self.samples, self.reported)

    @property
    def runs(self) -> int:
        """How many runs were timed."""
        return len(self.samples) if self.reported is None else self.reported.runs


@dataclass(frozen=True)
class Ended:
    """A process that ended with success: the request, and its output."""

    where: str
    protocol: protocols.Protocol
    cpus: Sequence[int]
    completed: Completed
    started_at: datetime


class Program(Protocol):
    """Something on the device that times an artifact: edgekit's own runner, or a tool that the user brought."""

    def arguments(
        self, subject: Subject, protocol: protocols.Protocol, cpus: Sequence[int], with_output: bool
    ) -> Sequence[str]:
        """Return the command line of one session on `cpus`; `with_output` requests the model's outputs too."""
        ...

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return the files on the device with a model's `count` outputs, in order; none if the program writes none."""
        ...

    def values(self, file: Path, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the values in a fetched file of outputs: those of `names` one after the other, or of one of them."""
        ...

    def read(self, ended: Ended) -> Session:
        """Return its report; EdgekitError (``unverified``, ``fallback``, ``crashed``) if it is not what was requested."""
        ...


@runtime_checkable
class Builds(Protocol):
    """A program that makes something on the device before its first session."""

    def build(self, device: Device, subject: Subject) -> None:
        """Make it. EdgekitError ends the subject."""
        ...


@dataclass(frozen=True)
class Subject:
    """Something to measure on a device: its name, the program that times it, its model and input files.

    The first session writes the model's outputs to `output`, for ``check`` to compare.
    """

    name: str
    program: Program
    model: str
    input: str
    output: str


def run_session(
    device: Device, subject: Subject, protocol: protocols.Protocol, *, with_output: bool = False
) -> Session:
    """Time `subject` in one fresh process. With `with_output` it then writes the model's outputs.

    EdgekitError: ``timed_out``, ``crashed`` or ``out_of_memory`` with the program's last words, or an error that the
    program itself reports.
    """
    cpus = device.timing_cpus(protocol.threads, protocol.cores)
    arguments = subject.program.arguments(subject, protocol, cpus, with_output)
    started_at, start = datetime.now(UTC), time.monotonic()
    completed = device.run(arguments, protocol.session_timeout)
    seconds = time.monotonic() - start
    where = f"{subject.name} on {device.profile.name}"
    if completed.exit_status:
        raise broken(where, completed)
    session = subject.program.read(Ended(where, protocol, cpus, completed, started_at))
    session.environment["process_seconds"] = round(seconds, 3)
    return session


def broken(where: str, completed: Completed) -> EdgekitError:
    """Return the error for a program that did not come to its end."""
    kind = FailureKind.out_of_memory if completed.exit_status in KILLED else FailureKind.crashed
    said = last_words(completed.stdout, completed.stderr)
    message = f"{where}: the runner ended with status {completed.exit_status}: {said}"
    return EdgekitError(kind, "measure", message, retriable=True)


def run_interleaved(
    device: Device,
    subjects: Mapping[int, Subject],
    protocol: protocols.Protocol,
    seed: int,
    check: Callable[[int], None],
    on_session: Callable[[int, int, Session], None],
    on_failure: Callable[[int, Failure], None],
) -> None:
    """Run every subject once per block. Each block has a new random order, so that drift affects all equally.

    Waits before each session until the device is cool. After a subject's first session, before its latency is reported,
    ``check(index)`` compares its outputs. It raises EdgekitError (``parity``) if they are wrong.
    Calls ``on_session(index, block, session)`` after each session, and ``on_failure(index, failure)`` once for a
    subject that fails. A failed subject is left out of later blocks.
    """
    random, alive = np.random.default_rng(seed), list(subjects)
    for block in range(protocol.sessions):
        for index in random.permutation(alive).tolist():
            try:
                wait_until_cool(device)
                session = run_session(device, subjects[index], protocol, with_output=block == 0)
                if block == 0:
                    check(index)
            except EdgekitError as error:
                alive.remove(index)
                on_failure(index, error.failure)
            else:
                on_session(index, block, session)
