"""edgekit's own runners: every sample, and the evidence that the conditions were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Ended, Frame, Session, Subject, broken
from edgekit.protocol import Protocol
from edgekit.runners import COREML_RUNNER, PYTHON_RUNNER, read_events


@dataclass(frozen=True)
class OwnRunner:
    """A runner of :mod:`edgekit.runners`, Python or native, by the command that starts it.

    An `emulated` device does not know on which CPUs its programs ran.
    """

    command: Sequence[str]
    emulated: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Which build of the runner it is: recorded with each session."""

    @property
    def is_native(self) -> bool:
        """Whether it is a native runner. Only these have a profiler and preprocess frames."""
        scripts = (PYTHON_RUNNER.name, COREML_RUNNER.name)  # on a device, a hash precedes the name
        return not any(part.endswith(scripts) for part in self.command)

    def arguments(self, subject: Subject, protocol: Protocol, cpus: Sequence[int], with_output: bool) -> Sequence[str]:
        """Return the command line of one session."""
        return (
            *self.command,
            *("--model", subject.model, "--input", (with_output and subject.examples) or subject.input),
            *(("--output", subject.output) if with_output else ()),
            *("--threads", str(protocol.threads), "--iterations", str(protocol.iterations)),
            *("--min-seconds", str(protocol.min_seconds), "--warmup-seconds", str(protocol.warmup_seconds)),
            *_frame_options(subject.frame, with_output),
            *(("--cpus", ",".join(map(str, cpus))) if cpus else ()),
        )

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return the one file that holds all outputs, one after the other."""
        return (base,)

    def values(self, file: Path, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the values of all outputs, which are float32."""
        return np.fromfile(file, dtype=np.float32)

    def read(self, ended: Ended) -> Session:
        """Return what the runner reported.

        EdgekitError: ``crashed`` if it did not finish, ``unverified`` if it left its CPUs or used another number of threads
        than the protocol's.
        """
        events = {event["event"]: event for event in read_events(ended.completed.stdout)}
        if "done" not in events:
            raise broken(ended.where, ended.completed)
        environment = {
            **self.facts,
            **_facts(events["environment"]),
            **_facts(events["load"]),
            **_facts(events["done"]),
        }
        if self.emulated:
            # An emulator shows the program a different /proc, without CPUs and with the emulator's threads. What disturbs
            # the emulator is not a fact about the device.
            environment |= {"cpus_seen": [], "threads_busy": None}
            environment |= dict.fromkeys(("cpu_ns", "reference_ns", "quota_ns", "preempted"))
        _verify(environment, ended)
        samples = tuple(events["samples"]["ns"])
        return Session(events["load"]["ns"], events["first"]["ns"], samples, environment, ended.started_at)


def _frame_options(frame: Frame | None, with_output: bool) -> Sequence[str]:
    if frame is None:
        return ()
    written = ("--preprocessed", frame.preprocessed) if with_output else ()
    return ("--frame", frame.file, "--frame-plan", frame.plan, *written)


def _facts(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in {"event", "ns"}}


def _verify(environment: dict[str, Any], ended: Ended) -> None:
    problems, cpus, threads = [], sorted(ended.cpus), ended.protocol.threads
    named = ", ".join(map(str, cpus))
    if cpus and environment["affinity"] != cpus:
        problems.append(f"it was allowed on CPUs {environment['affinity']} instead of {named}")
    if cpus and set(environment["cpus_seen"]) - set(cpus):
        problems.append(f"it ran on CPUs {environment['cpus_seen']} instead of {named}")
    if environment.get("scope", "inference") != ended.protocol.scope:
        problems.append(f"it timed {environment['scope']} instead of {ended.protocol.scope}")
    if environment["threads"] not in {None, threads}:  # None: the runtime has no threads to set, as Core ML
        problems.append(f"the runtime has {environment['threads']} threads instead of {threads}")
    # A runtime may only echo the request, so the threads that did the work are counted too.
    if environment["threads_busy"] is not None and environment["threads_busy"] > threads:
        problems.append(f"{environment['threads_busy']} threads did the work instead of {threads}")
    if problems:
        raise EdgekitError(FailureKind.unverified, "measure", f"{ended.where}: {'; '.join(problems)}.", retriable=True)
