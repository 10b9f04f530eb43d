"""Numbers for people: at least three significant digits, and a dash if unknown."""

from __future__ import annotations

import math

DASH = "–"  # noqa: RUF001  (an en dash: the sign for "not known" in printed tables)
MEGA = 1e6


def decimals(value: float, least: int) -> int:
    """Return how many decimals show three significant digits of a value; `least` at least."""
    if value == 0 or not math.isfinite(value):
        return least
    return max(least, 2 - math.floor(math.log10(abs(value))))


def number(value: float, least: int) -> str:
    """Return a value with three significant digits and `least` decimals at least: ``4.10``, ``0.0378``."""
    return f"{value:.{decimals(value, least)}f}"


def with_interval(value: float, low: float, high: float, least: int) -> str:
    """Return ``value [low, high]``, all three with as many decimals as the value needs."""
    places = decimals(value, least)
    return f"{value:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def mega(value: float, least: int) -> str:
    """Return a count in millions, or a size of bytes in megabytes."""
    return number(value / MEGA, least)


def spread(low: float, high: float, unit: str) -> str:
    """Return ``low to high unit``, or one number if they print the same."""
    first, last = f"{low:g}", f"{high:g}"
    return f"{first}{unit}" if first == last else f"{first} to {last}{unit}"
