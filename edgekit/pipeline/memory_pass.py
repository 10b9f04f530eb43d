"""The memory of an artifact on a device, from a process that loads it and runs it once, and times nothing."""

from __future__ import annotations

import time
from typing import Any

from edgekit.devices.base import Device
from edgekit.errors import EdgekitError
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Subject, broken
from edgekit.pipeline.building import Ready
from edgekit.protocol import Protocol
from edgekit.runners import read_events

ONCE = Protocol(name="memory", sessions=1, iterations=1, min_seconds=0, warmup_seconds=0, session_timeout=900)
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Of one activation, by precision."""


def memory_of(device: Device, subject: Subject, ready: Ready) -> dict[str, Any]:
    """Return an artifact's memory on a device.

    - `peak_rss_kb`: the most memory that was resident in the process, in kB.
    - `baseline_rss_kb`: how much was resident in it with the runtime loaded, before the model was.
    - `model_rss_kb`: their difference. It includes the model's file as far as it was read into memory.
    - `process_seconds`: how long the process took.
    - `planned_bytes`: what the runtime reports that it plans for tensors outside delegates (ExecuTorch).
    - `activations_bytes`, `activations_kind`: the largest sum of activations that are alive together, derived from the
      PyTorch model (:mod:`edgekit.architectures.memory`). No runtime reports its delegate's arena.

    What is not known is None. A tool that the user brought gives only what is derived.
    """
    found: dict[str, Any] = {"activations_bytes": None, "activations_kind": "derived"}
    size = BYTES.get(ready.artifact.target.precision)  # a plug-in's backend may have others
    if ready.prepared.peak_activations is not None and size is not None:
        found["activations_bytes"] = ready.prepared.peak_activations * size
    if not isinstance(subject.program, OwnRunner):
        return found
    arguments = subject.program.arguments(subject, ONCE, device.timing_cpus(), with_output=False)
    # The last value of an option counts. Without timed runs, the runner runs each example once, for the outputs.
    start = time.monotonic()
    completed = device.run([*arguments, "--iterations", "0", "--output", subject.output], ONCE.session_timeout)
    seconds = time.monotonic() - start
    events = {event["event"]: event for event in read_events(completed.stdout)}
    if completed.exit_status or "done" not in events:
        raise broken(f"{subject.name} on {device.profile.name}", completed)
    peak, baseline = events["done"].get("max_rss_kb"), events["done"].get("baseline_rss_kb")
    return {
        **found,
        "peak_rss_kb": peak,
        "baseline_rss_kb": baseline,
        "model_rss_kb": None if peak is None or baseline is None else peak - baseline,
        "planned_bytes": events["load"].get("planned_bytes"),
        "process_seconds": round(seconds, 3),
    }


def memory_or_unknown(device: Device, subject: Subject, ready: Ready) -> dict[str, Any]:
    """Return :func:`memory_of`, or why it is unknown: the measurement itself has succeeded."""
    try:
        return memory_of(device, subject, ready)
    except EdgekitError as error:
        return {"unknown": error.failure.message}
