"""Temperatures: which sensors of a device are thermometers, what they measure, and how hot each is.

Android and Linux list voltages, currents, alarms and dead sensors among their temperatures. Only a known
type counts. A sensor that gives no plausible temperature is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

SensorType = Literal["cpu", "gpu", "npu", "battery", "skin", "board", "modem", "wifi", "camera", "display"]
"""What a sensor measures the temperature of. `skin` is the case, by which Android throttles."""

ANDROID_TYPES: Mapping[int, SensorType] = {
    0: "cpu",
    1: "gpu",
    2: "battery",
    3: "skin",
    4: "board",  # USB_PORT
    5: "board",  # POWER_AMPLIFIER
    9: "npu",
    10: "npu",  # TPU
    11: "display",
    12: "modem",
    13: "cpu",  # SOC
    14: "wifi",
    15: "camera",
    16: "camera",  # FLASHLIGHT
    17: "board",  # SPEAKER
    19: "board",  # POGO
}
"""Android's ``TemperatureType``. 6, 7 and 8 (BCL) are voltage, current and percentage; 18 is the room."""

NO_THERMOMETER = re.compile(
    r"pmic|^pm\w*\d+|-alarm|int3400"  # power chips and policies report a constant or an alarm step
    r"|^soc$|bcl|vbat|ibat|batoilo|vdroop|smpl|ocp|uvlo|voltage|current",  # charge, volts and amperes
    re.IGNORECASE,
)
"""Linux zone types that are not thermometers, by their names in Jetsons', Qualcomm's and Google's kernels."""

LINUX_TYPES: tuple[tuple[str, SensorType], ...] = (
    ("skin|quiet|case", "skin"),
    ("gpu|g3d", "gpu"),
    ("npu|tpu|cv[0-9]|dla|nsp|cdsp", "npu"),
    ("batt", "battery"),
    ("wifi|wlan|iwl", "wifi"),
    ("modem|mdm", "modem"),
    ("cpu|soc|x86_pkg|coretemp|k10|big|little|mid|tsens|^tj", "cpu"),
)
"""Patterns of Linux zone types. Any other type counts as the board."""

COLDEST, HOTTEST = -40.0, 150.0
"""Degrees Celsius. Readings outside this range are unknown."""


class Sensor(NamedTuple):
    """One thermometer: its type, its own name and degrees Celsius."""

    type: SensorType
    name: str
    celsius: float


def android_sensor(type_number: int, name: str, celsius: float) -> Sensor | None:
    """Return the sensor of one line of ``dumpsys thermalservice``; None if it is not a working thermometer."""
    sensor_type = ANDROID_TYPES.get(type_number)
    return Sensor(sensor_type, name, celsius) if sensor_type and _is_plausible(celsius) else None


def linux_sensor(zone: str, zone_type: str, reading: str) -> Sensor | None:
    """Return the sensor of a thermal zone's files ``type`` and ``temp``; None if it is not a working thermometer.

    The kernel documents millidegrees. Some kernels give whole degrees.
    """
    if NO_THERMOMETER.search(zone_type) or not re.fullmatch(r"-?\d+", reading.strip()):
        return None
    value = int(reading)
    celsius = float(value) if 0 < value <= HOTTEST else value / 1000
    if abs(celsius) < 1 or not _is_plausible(celsius):
        return None  # dead sensors report values near zero
    return Sensor(_linux_type(zone_type), zone_type or zone, celsius)


def _linux_type(zone_type: str) -> SensorType:
    for pattern, sensor_type in LINUX_TYPES:
        if re.search(pattern, zone_type, re.IGNORECASE):
            return sensor_type
    return "board"


def parse_zones(text: str) -> list[Sensor]:
    """Parse what the script TEMPERATURES prints: lines of zone, reading and type, separated by tabs."""
    rows = [line.split("\t") for line in text.splitlines()]
    found = [
        linux_sensor(zone, zone_type, reading) for zone, reading, zone_type in (row for row in rows if len(row) == 3)
    ]
    return [sensor for sensor in found if sensor]


def thermal_state(sensors: Iterable[Sensor]) -> dict[str, Any]:
    """Return the entries of the sensors in a device's state.

    `temperature_c` is the hottest sensor's, or ``unknown``. `temperatures` has the hottest sensor of each type:
    ``{"skin": {"sensor": "VIRTUAL-SKIN", "celsius": 24.8}}``.
    """
    by_heat = sorted(sensors, key=lambda sensor: sensor.celsius)
    return {
        "temperature_c": by_heat[-1].celsius if by_heat else "unknown",
        "temperatures": {sensor.type: {"sensor": sensor.name, "celsius": sensor.celsius} for sensor in by_heat},
    }


def _is_plausible(celsius: float) -> bool:
    return COLDEST <= celsius <= HOTTEST and celsius != 0
