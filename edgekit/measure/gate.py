"""The thermal gate: no session begins on a hot device."""

from __future__ import annotations

import time

from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, FailureKind

GATE_SECONDS = 300.0
"""How long a device may take to cool down."""
POLL_SECONDS = 2.0
THROTTLING_STATUS = 2
"""Android's ``THERMAL_STATUS_MODERATE``: from here on the device may be slowed down noticeably."""


def wait_until_cool(device: Device) -> None:
    """Wait until temperature and thermal status are under their limits; unknown ones hold nobody.

    EdgekitError (``thermal_gate_timeout``) after GATE_SECONDS.
    """
    limit = device.profile.max_temperature_c
    deadline = time.monotonic() + GATE_SECONDS
    while reason := _too_hot(device.state(), limit):
        if time.monotonic() > deadline:
            message = f"{device.profile.name} did not cool down within {GATE_SECONDS:.0f} s: {reason}."
            hint = "Let it rest, take it out of its case, or set `max_temperature_c` in its profile if you know why."
            raise EdgekitError(FailureKind.thermal_gate_timeout, "measure", message, hint, retriable=True)
        time.sleep(POLL_SECONDS)


def _too_hot(state: dict[str, object], limit: float | None) -> str:
    """Return why a session may not begin; empty where it may."""
    temperature, status = state["temperature_c"], state.get("thermal_status")
    if isinstance(status, int) and status >= THROTTLING_STATUS:
        return f"its thermal status is {status}"
    if limit is not None and isinstance(temperature, int | float) and temperature > limit:
        return f"{temperature:.1f} degrees, and the limit is {limit:.1f}"
    return ""
