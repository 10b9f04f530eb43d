"""One session: a fresh process on the device that loads an artifact, warms up and iterates, and what it reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, Failure, FailureKind
from edgekit.measure.gate import wait_until_cool
from edgekit.measure.protocol import Protocol
from edgekit.runners import last_words, read_events

KILLED = {137, -9}
"""How SIGKILL shows as an exit status, through a shell and from the kernel: mostly the out-of-memory killer."""


@dataclass(frozen=True)
class Session:
    """What one process reported. Times in nanoseconds; `samples` are all timed runs in their order; `started_at` is ours."""

    load_ns: int
    first_ns: int
    samples: tuple[int, ...]
    environment: dict[str, Any]
    started_at: datetime


@dataclass(frozen=True)
class Subject:
    """Something to measure on a device: a name for people, and its runner's command, model and input files there.

    `output` is where the first session shall write the model's outputs, for ``check`` to compare.
    """

    name: str
    runner: Sequence[str]
    model: str
    input: str
    output: str


def run_session(device: Device, subject: Subject, protocol: Protocol, *, with_output: bool = False) -> Session:
    """Time `subject` in one fresh process, which writes the model's outputs after it where `with_output` asks for them.

    EdgekitError: ``timed_out``, ``crashed`` or ``out_of_memory`` with the runner's last words, ``unverified`` where the process
    did not stay on its CPU or the runtime used other than the protocol's threads.
    """
    cpu = device.timing_cpu()
    arguments = [
        *subject.runner,
        *("--model", subject.model, "--input", subject.input),
        *(("--output", subject.output) if with_output else ()),
        *("--threads", str(protocol.threads), "--iterations", str(protocol.iterations)),
        *("--min-seconds", str(protocol.min_seconds), "--warmup-seconds", str(protocol.warmup_seconds)),
        *(() if cpu is None else ("--cpu", str(cpu))),
    ]
    started_at, start = datetime.now(UTC), time.monotonic()
    completed = device.run(arguments, protocol.session_timeout)
    seconds = time.monotonic() - start
    events = {event["event"]: event for event in read_events(completed.stdout)}
    if completed.exit_status or "done" not in events:
        kind = FailureKind.out_of_memory if completed.exit_status in KILLED else FailureKind.crashed
        said = last_words(completed.stdout, completed.stderr)
        message = (
            f"{subject.name} on {device.profile.name}: the runner ended with status {completed.exit_status}: {said}"
        )
        raise EdgekitError(kind, "measure", message, retriable=True)
    environment = {**_facts(events["environment"]), **_facts(events["load"]), **_facts(events["done"])}
    environment["process_seconds"] = round(seconds, 3)
    if device.profile.emulated:
        # An emulator shows the program a /proc of its own, without CPUs and with the emulator's threads.
        environment |= {"cpus_seen": [], "threads_busy": None}
    _verify(environment, cpu, protocol, subject.name)
    return Session(events["load"]["ns"], events["first"]["ns"], tuple(events["samples"]["ns"]), environment, started_at)


def run_interleaved(
    device: Device,
    subjects: Mapping[int, Subject],
    protocol: Protocol,
    seed: int,
    check: Callable[[int], None],
    on_session: Callable[[int, int, Session], None],
    on_failure: Callable[[int, Failure], None],
) -> None:
    """Run every subject once per block, in an order shuffled anew for each block, so that drift hits all of them alike.

    Before each session waits until the device is cool. After a subject's first session ``check(index)`` compares its outputs
    and raises EdgekitError (``parity``) where they are wrong: before any latency of it is told. Calls
    ``on_session(index, block, session)`` after each session, and ``on_failure(index, failure)`` once for a subject that fails: it
    takes no part in later blocks.
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


def _facts(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in {"event", "ns"}}


def _verify(environment: dict[str, Any], cpu: int | None, protocol: Protocol, name: str) -> None:
    problems = []
    if cpu is not None and environment["affinity"] != [cpu]:
        problems.append(f"it was allowed on CPUs {environment['affinity']} instead of {cpu}")
    if cpu is not None and set(environment["cpus_seen"]) - {cpu}:
        problems.append(f"it ran on CPUs {environment['cpus_seen']} instead of {cpu}")
    if environment["threads"] != protocol.threads:
        problems.append(f"the runtime has {environment['threads']} threads instead of {protocol.threads}")
    # What a runtime says of itself may only echo what it was asked for: the threads that did the work are counted as well.
    if environment["threads_busy"] is not None and environment["threads_busy"] > protocol.threads:
        problems.append(f"{environment['threads_busy']} threads did the work instead of {protocol.threads}")
    if problems:
        raise EdgekitError(FailureKind.unverified, "measure", f"{name}: {'; '.join(problems)}.", retriable=True)
