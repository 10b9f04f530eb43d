"""The CPUs of a Linux system, from the text of its files: which are fast, and whether clocks are fixed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from edgekit.errors import EdgekitError, FailureKind
from edgekit.protocol import Cores

SPEED_FILES = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")
"""Files in a CPU's folder: its relative capacity, and its maximum frequency in kHz.

Capacity comes first. The clock of a small core may be higher than that of a large one.
"""
FEATURES = (
    *(
        "sse4_1",
        "avx",
        "f16c",
        "fma",
        "avx2",
        "avx_vnni",
        "avx512f",
        "avx512bw",
        "avx512_vnni",
        "avx512_bf16",
        "avx512_fp16",
    ),
    *("amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimdrdm", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2"),
)
"""Instruction sets that decide which kernels XNNPACK uses, by Linux's names for x86 and Arm."""
FEATURES_LINE = "^(flags|Features)"
"""The line of /proc/cpuinfo that lists them, as an extended regular expression."""
Speeds = Mapping[int, Mapping[str, int]]
"""CPU -> file -> value. A file that is missing or unreadable is not in the mapping."""


def parse_speeds(lines: Iterable[str]) -> dict[int, dict[str, int]]:
    """Return the speeds in lines of ``file cpu value``. A line without a positive value is ignored."""
    speeds: dict[int, dict[str, int]] = {}
    for file, cpu, value in (words for line in lines if len(words := line.split()) == 3):
        if value.isdecimal() and int(value) > 0:
            speeds.setdefault(int(cpu), {})[file] = int(value)
    return speeds


def timing_cpus(
    allowed: Collection[int],
    speeds: Speeds,
    threads: int,
    cores: Cores,
    device: str,
    siblings: Mapping[int, str] | None = None,
) -> tuple[int, ...]:
    """Return the CPUs for `threads` threads: the last of the fastest or the slowest cluster, or the fastest of `allowed`.

    The first ones serve most interrupts. A file of SPEED_FILES counts only if all allowed CPUs have it. If there is no such
    file, all CPUs are one cluster, of unknown speed. Empty if no CPU is known. Two CPUs of one core (`siblings`: CPU -> the
    kernel's list of its core) are chosen only if there are too few cores.
    EdgekitError (``unsupported_device``) if the device has too few such CPUs, or only one cluster for little cores.
    """
    files = [file for file in SPEED_FILES if all(file in speeds.get(cpu, {}) for cpu in allowed)]
    by_speed = {cpu: [speeds[cpu][file] for file in files] for cpu in sorted(allowed)}
    if not by_speed:
        return ()
    fastest, slowest = max(by_speed.values()), min(by_speed.values())
    if cores == "little" and fastest == slowest:
        message = f"The protocol measures on little cores, and all CPUs of {device} are of one kind, or do not say."
        raise EdgekitError(FailureKind.unsupported_device, "measure", message, "Choose a protocol with `cores: big`.")
    wanted = {"big": [fastest], "little": [slowest], "fastest": list(by_speed.values())}[cores]
    last_of_core = {(siblings or {}).get(cpu, str(cpu)): cpu for cpu in by_speed}.values()
    order = sorted(by_speed, key=lambda cpu: (cpu in last_of_core, by_speed[cpu], cpu))
    found = tuple(sorted([cpu for cpu in order if by_speed[cpu] in wanted][-threads:]))
    if len(found) < threads:
        kind = "" if cores == "fastest" else f" {cores}"
        message = f"The protocol has {threads} threads, and {device} has {len(found)}{kind} cores for them."
        hint = "Choose a protocol with fewer threads" + ("." if cores == "fastest" else ", or with `cores: fastest`.")
        raise EdgekitError(FailureKind.unsupported_device, "measure", message, hint)
    return found


def parse_siblings(text: str) -> dict[int, str]:
    """Return CPU -> the list of its core's CPUs, from what the script SIBLINGS prints."""
    return {int(cpu): core for cpu, core in re.findall(r"^cpu(\d+)/topology/\w+:(\S+)$", text, re.MULTILINE)}


def clusters(speeds: Speeds) -> dict[str, dict[str, int]] | str:
    """Return the entry of the CPUs' speeds in a device's facts; ``unknown`` if it reports none."""
    return {
        str(cpu): {file.rpartition("/")[2]: value for file, value in own.items()} for cpu, own in speeds.items()
    } or "unknown"


def clock_rung(governors: Collection[str]) -> str:
    """Return ``fixed`` if every CPU's governor is ``performance``, else ``free-running``; ``unknown`` without cpufreq."""
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


def allowed_cpus(text: str) -> list[int]:
    """Return the CPUs that a program can be pinned to, from the lines that the script ALLOWED prints.

    A CPU that is off is none of them: a Jetson's power mode and a phone's kernel switch some off.
    """
    allowed, *online = (parse_cpu_list(line.split()[-1]) for line in text.splitlines() if line.strip())
    return [cpu for cpu in allowed if not online or cpu in online[0]]


def cpu_features(listed: str) -> list[str] | str:
    """Return those of FEATURES that a line of /proc/cpuinfo lists; ``unknown`` if the line is empty."""
    words = listed.rpartition(":")[2].split()
    return [feature for feature in FEATURES if feature in words] if words else "unknown"
