"""The thermal gate: no session begins on a hot device."""

from __future__ import annotations

import time
from typing import Any

from edgekit.devices.base import Device
from edgekit.devices.profile import TemperatureLimit
from edgekit.errors import EdgekitError, FailureKind

GATE_SECONDS = 300.0
"""How long a device may take to cool down."""
POLL_SECONDS = 2.0
THROTTLING_STATUS = 2
"""Android's ``THERMAL_STATUS_MODERATE``: from here on the device may be slowed down noticeably."""


def wait_until_cool(device: Device) -> None:
    """Wait until temperatures and thermal status are within their limits. An unknown value does not delay.

    EdgekitError (``thermal_gate_timeout``) after GATE_SECONDS names the sensor, its type and the limit.
    """
    limit = device.profile.max_temperature_c
    deadline = time.monotonic() + GATE_SECONDS
    while reason := _too_hot(device.state(), limit):
        if time.monotonic() > deadline:
            message = f"{device.profile.name} did not cool down within {GATE_SECONDS:.0f} s: {reason}."
            hint = "Let it rest, take it out of its case, or set `max_temperature_c` in its profile if you know why."
            raise EdgekitError(FailureKind.thermal_gate_timeout, "measure", message, hint, retriable=True)
        time.sleep(POLL_SECONDS)


def _too_hot(state: dict[str, Any], limit: TemperatureLimit | None) -> str:
    """Return why a session may not begin; empty if it may."""
    status = state.get("thermal_status")
    if isinstance(status, int) and status >= THROTTLING_STATUS:
        return f"its thermal status is {status}"
    if isinstance(limit, dict):
        return _too_hot_by_type(state.get("temperatures", {}), limit)
    hottest = state["temperature_c"]
    if limit is None or not isinstance(hottest, int | float) or hottest <= limit:
        return ""
    sensors = state.get("temperatures", {}).items()
    where = next((f" at {sensor['sensor']} ({type})" for type, sensor in sensors if sensor["celsius"] == hottest), "")
    return f"{hottest:.1f} degrees{where}, and the limit is {limit:.1f}"


def _too_hot_by_type(temperatures: dict[str, Any], limits: dict[Any, float]) -> str:
    for sensor_type, limit in limits.items():
        hottest = temperatures.get(sensor_type)
        if hottest and hottest["celsius"] > limit:
            where = f"{hottest['sensor']} ({sensor_type})"
            return f"{hottest['celsius']:.1f} degrees at {where}, and the limit for {sensor_type} is {limit:.1f}"
    return ""
