"""Which conditions of two measurements differ. Latencies under different conditions are not compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.devices.jetson import clocks_name, gpu_limits, mode_name
from edgekit.report import cells
from edgekit.report.rows import Row

UNKNOWN = "unknown"


def _of(*keys: str) -> Callable[[Row], Any]:
    def get(row: Row) -> Any:
        found: Any = row.conditions or {}
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return UNKNOWN if found is None else found

    return get


CONDITIONS: Mapping[str, Callable[[Row], Any]] = {
    "device_id": lambda row: row.device_id or UNKNOWN,
    "device_model": _of("model"),
    "soc": _of("soc"),
    "os_build": _of("os_build"),
    "emulated": _of("emulated"),
    "protocol": lambda row: row.protocol or UNKNOWN,
    "kind": lambda row: row.kind,
    "clock": _of("before", "clock_rung"),
    "plugged": _of("before", "battery", "plugged"),
    "cpu": _of("affinity"),
    "cpu_features": _of("cpu_features"),
    "threads": _of("threads"),
    "compute_units": _of("compute_units"),
    "process_context": _of("process_context"),
    "kernel": _of("kernel"),
    "runner": _of("runner"),
    "runner_version": lambda row: cells.runner_version(row) or UNKNOWN,
    "runtime": _of("runtime"),
    "runtime_version": _of("runtime_version"),
    "delegate": _of("delegate"),
    "nvpmodel": lambda row: mode_name(_of("before", "nvpmodel")(row)),
    "jetson_clocks": lambda row: clocks_name(_of("before", "jetson_clocks")(row)),
    "gpu_clock": lambda row: gpu_limits(_of("before", "clocks")(row)),
    "centre": lambda row: (row.summary or {}).get("centre", "median"),
}
"""Condition -> its value. Under a different one a latency may differ for another reason than the artifact."""
BUILT_WITH: Mapping[str, Callable[[Row], Any]] = {
    "edgekit": lambda row: row.edgekit_version or UNKNOWN,
    "artifact": lambda row: (row.manifest or {}).get("sha256", UNKNOWN)[:12],
    "weights": lambda row: (row.manifest or {}).get("weights", UNKNOWN),
    "recipe": lambda row: (row.manifest or {}).get("recipe_hash", UNKNOWN)[:12],
    "runner_origin": _of("runner_origin"),
    "runner_sources": _of("runner_sources"),
    "tools": lambda row: ", ".join(
        f"{name} {version}" for name, version in sorted((row.manifest or {}).get("tools", {}).items())
    ),
}
"""What a comparison is about: it is listed if it differs, and never a reason not to compare."""


def differing(
    first: Row, second: Row, of: Mapping[str, Callable[[Row], Any]] = CONDITIONS
) -> dict[str, tuple[str, str]]:
    """Return condition -> both values, of those that differ."""
    pairs = {name: (get(first), get(second)) for name, get in of.items()}
    return {name: (_shown(one), _shown(other)) for name, (one, other) in pairs.items() if one != other}


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
