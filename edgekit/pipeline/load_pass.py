"""Loading a model whose file is not in the page cache: what an app does after the phone has started."""

from __future__ import annotations

from statistics import median
from typing import Any

from edgekit.devices.base import Device
from edgekit.errors import EdgekitError
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Subject, broken
from edgekit.measure.statistics import order_statistic_interval
from edgekit.protocol import Protocol
from edgekit.runners import read_events

COLD_PER_MILLE = 50
"""A file of which more is still in the page cache was not cold."""
MILLISECOND = 1e6  # nanoseconds


def cold_loads(device: Device, subject: Subject, protocol: Protocol) -> dict[str, Any]:
    """Load an artifact in `protocol.cold_loads` fresh processes, and drop its file from the page cache before each.

    Returns `median_ms`, `interval_ms` and `confidence` (order statistics), `loads`, and `cached_per_mille`, the most of the
    file that was in the cache all the same. If that is over COLD_PER_MILLE or unknown, the times are left out and `unknown`
    says why: a file system in memory, a kernel that keeps what others have mapped, or a process that failed.
    """
    try:
        return _cold_loads(device, subject, protocol)
    except EdgekitError as error:
        return {"unknown": error.failure.message}


def _cold_loads(device: Device, subject: Subject, protocol: Protocol) -> dict[str, Any]:
    if not isinstance(subject.program, OwnRunner):
        return {"unknown": "a tool of the user loads the artifact"}
    cpus = device.timing_cpus(protocol.threads, protocol.cores)
    once = protocol.model_copy(update={"iterations": 0, "min_seconds": 0.0})
    arguments = [*subject.program.arguments(subject, once, cpus, with_output=False), "--cold"]
    times, cached = [], []
    for _ in range(protocol.cold_loads):
        completed = device.run(arguments, protocol.session_timeout)
        events = {event["event"]: event for event in read_events(completed.stdout)}
        if completed.exit_status or "load" not in events:
            raise broken(f"{subject.name} on {device.profile.name}", completed)
        share = events["load"].get("cached_per_mille")
        if share is None:
            return {"unknown": "the runner cannot see how much of the file is in the page cache"}
        times.append(events["load"]["ns"] / MILLISECOND)
        cached.append(share)
    if max(cached) > COLD_PER_MILLE:
        return {
            "unknown": f"{max(cached) / 10:.0f} % of the file stayed in the page cache",
            "cached_per_mille": max(cached),
        }
    interval = order_statistic_interval(times)
    return {
        "median_ms": median(times),
        "interval_ms": (interval.low, interval.high),
        "confidence": interval.confidence,
        "loads": len(times),
        "cached_per_mille": max(cached),
    }
