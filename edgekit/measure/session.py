"""One session: a fresh process on the device that loads an artifact, warms up and iterates, and what it reported."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekit import protocol as protocols
from edgekit.devices.base import Completed, Device, Watches
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
class Frame:
    """A camera's frame on the device, how it becomes the input, and where the runner writes what it became."""

    file: str
    plan: str
    preprocessed: str


@dataclass(frozen=True)
class Subject:
    """Something to measure on a device: its name, the program that times it, its model and input files.

    The first session writes the model's outputs to `output`, for ``check`` to compare. A program that takes several
    examples reads them from `examples`, of which the first is that of `input`; other programs compute that one.
    With a `frame`, all from it to the outputs is timed.
    """

    name: str
    program: Program
    model: str
    input: str
    output: str
    examples: str = ""
    frame: Frame | None = None


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
    completed, seen = _watched(device, arguments, protocol.session_timeout, cpus)
    seconds = time.monotonic() - start
    where = f"{subject.name} on {device.profile.name}"
    if completed.exit_status:
        raise broken(where, completed)
    session = subject.program.read(Ended(where, protocol, cpus, completed, started_at))
    session.environment["process_seconds"] = round(seconds, 3)
    if seen:
        session.environment["watch"] = seen
    return session


def _watched(
    device: Device, arguments: Sequence[str], timeout: float, cpus: Sequence[int]
) -> tuple[Completed, Mapping[str, Any]]:
    """Run a program, and watch the device meanwhile if it can be. An emulated device has nothing to see."""
    if isinstance(device, Watches) and not device.profile.emulated:
        return device.run_watched(arguments, timeout, cpus)
    return device.run(arguments, timeout), {}


def broken(where: str, completed: Completed) -> EdgekitError:
    """Return the error for a program that did not come to its end."""
    kind = FailureKind.out_of_memory if completed.exit_status in KILLED else FailureKind.crashed
    said = last_words(completed.stdout, completed.stderr)
    message = f"{where}: the runner ended with status {completed.exit_status}: {said}"
    return EdgekitError(kind, "measure", message, retriable=True)


class Listener(Protocol):
    """What hears of each session of interleaved subjects. Subjects are named by their index."""

    def check(self, index: int) -> None:
        """Compare a subject's outputs after its first session. EdgekitError (``parity``) if they are wrong."""
        ...

    def on_session(self, index: int, block: int, session: Session) -> None:
        """Take a session. A repeated block comes again."""
        ...

    def on_failure(self, index: int, failure: Failure) -> None:
        """Hear, once, that a subject failed."""
        ...


class Interleaved:
    """Subjects that take turns on a device. Each block has a new random order, so that drift affects all equally.

    Latencies are reported only after the first session's outputs were compared. A failed subject is left out from then on.
    """

    def __init__(
        self, device: Device, subjects: Mapping[int, Subject], protocol: protocols.Protocol, seed: int, to: Listener
    ) -> None:
        self.device, self.subjects, self.protocol, self.to = device, subjects, protocol, to
        self.alive = list(subjects)
        self._random = np.random.default_rng(seed)
        self._unchecked = set(subjects)

    def run(self) -> None:
        """Run the blocks of the protocol."""
        for block in range(self.protocol.sessions):
            self.block(block)

    def block(self, number: int) -> None:
        """Run every subject once. Wait before each session until the device is cool."""
        for index in self._random.permutation(self.alive).tolist():
            first = index in self._unchecked
            try:
                wait_until_cool(self.device)
                session = run_session(self.device, self.subjects[index], self.protocol, with_output=first)
                if first:
                    self.to.check(index)
                    self._unchecked.remove(index)
            except EdgekitError as error:
                self.alive.remove(index)
                self.to.on_failure(index, error.failure)
            else:
                self.to.on_session(index, number, session)
