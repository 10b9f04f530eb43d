"""What a Linux tells of its processors, however its files were read: which CPU is fast, and how the clocks are held."""

from __future__ import annotations

from collections.abc import Collection, Mapping

SPEED_FILES = ("cpufreq/cpuinfo_max_freq", "cpu_capacity")
"""Where a CPU's folder tells its maximum frequency in kHz, else its relative capacity."""


def known_speeds(told: Mapping[str, Mapping[int, int]]) -> dict[int, int]:
    """Return CPU -> speed, of the first of SPEED_FILES that `told` (file -> CPU -> value) has; empty where it has neither."""
    return next((dict(told[file]) for file in SPEED_FILES if told.get(file)), {})


def large_core(allowed: Collection[int], speeds: Mapping[int, int]) -> int | None:
    """Return the last CPU of the fastest cluster among `allowed`; CPU 0 serves most interrupts, so the last it is.

    Where speeds are not known all CPUs are one cluster. None where none is allowed.
    """
    fastest = max((speeds.get(cpu, 0) for cpu in allowed), default=0)
    return max((cpu for cpu in allowed if speeds.get(cpu, 0) == fastest), default=None)


def clock_rung(governors: Collection[str]) -> str:
    """Return ``fixed`` where every CPU's governor is ``performance``, else ``free-running``; ``unknown`` without cpufreq."""
    if not governors:
        return "unknown"
    return "fixed" if set(governors) == {"performance"} else "free-running"


def parse_cpu_list(text: str) -> list[int]:
    """Return the CPUs of a kernel's list: ``0-3,6`` -> [0, 1, 2, 3, 6]."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus
