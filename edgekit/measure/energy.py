"""Energy of an inference, derived from the power that a device reports while runs are timed.

It is the energy of the whole device or rail, not of the model alone: nothing is subtracted. Android's battery current is that
of BatteryManager's BATTERY_PROPERTY_CURRENT_NOW. Fuel gauges average over seconds, so short sessions see the power of what was
before. A Jetson's rails come from its INA3221 (:data:`edgekit.devices.jetson.RAILS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.measure.disturbances import while_timed
from edgekit.measure.statistics import order_statistic_interval

WHOLE_BOARD = ("VDD_IN", "POM_5V_IN")
"""Rails that carry the whole board: on TX2, Xavier NX, Orin NX and Orin Nano, and on Nano.

AGX boards have none. Their VIN_SYS_5V0 supplies memory and input/output, not the CPU.
"""
BATTERY = "battery"
LEAST_WATTS = 0.1
"""No phone computes with less. Some kernels report the battery's current in milliamperes instead of microamperes."""
LEAST_LOOKS = 2
"""So many looks must fall into the timed runs of each session."""


def energy(environments: Sequence[Mapping[str, Any]], runs: Sequence[int], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the energy of one inference in millijoules, by sessions; `runs` are their numbers of timed runs.

    `millijoules` is the median over sessions, `interval_mj` its order-statistic interval with `confidence`, and `source`
    names the battery or rail. `kind` is ``derived``. If it cannot be known, `unknown` says why. `before` is the device's
    state: on a phone that is plugged in, the battery's current says nothing.
    """
    watts = [while_timed(one, "watts") for one in environments]
    sources = set.intersection(*(set(one) for one in watts)) if watts else set()
    source = next((name for name in (*WHOLE_BOARD, BATTERY) if name in sources), None)
    if source is None:
        return {"unknown": "the device reports no power while runs are timed"}
    plugged = before.get("battery", {}).get("plugged", "unknown")
    if source == BATTERY and plugged != "nothing":
        return {"unknown": f"the battery's current is not the device's: power comes from {plugged}"}
    if max(max(one[source]) for one in watts) < LEAST_WATTS:
        return {"unknown": f"the power of {source} is under {LEAST_WATTS} W: its unit is another one than documented"}
    if any(len(one[source]) < LEAST_LOOKS for one in watts):
        hint = "a protocol with a longer min_seconds"
        return {"unknown": f"a session has fewer than {LEAST_LOOKS} readings of {source}: use {hint}"}
    each = [
        1000 * float(np.mean(one[source])) * environment["wall_ns"] / 1e9 / count
        for one, environment, count in zip(watts, environments, runs, strict=True)
    ]
    interval = order_statistic_interval(each)
    return {
        "millijoules": float(np.median(each)),
        "interval_mj": (interval.low, interval.high),
        "confidence": interval.confidence,
        "source": source,
        "kind": "derived",
    }
