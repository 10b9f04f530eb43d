"""Quantities with their units, as people write them: ``20ms``, ``6MB``. A bare number is an error: it may mean anything."""

from __future__ import annotations

import math
import re

from edgekit.errors import UsageError

MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
NUMBER = re.compile(r"\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[A-Za-z]*)\s*")


def parse_milliseconds(text: str, option: str) -> float:
    """Return a time such as ``20ms`` or ``0.02s`` in milliseconds; UsageError names the `option` and the units."""
    return _parse(text, option, MILLISECONDS, "a time", "ms")


def parse_bytes(text: str, option: str) -> int:
    """Return a size such as ``6MB`` or ``800kB`` in bytes; UsageError names the `option` and the units.

    A kB is 1000 bytes, a KiB 1024.
    """
    return round(_parse(text, option, BYTES, "a size", "MB"))


def _parse(text: str, option: str, units: dict[str, float] | dict[str, int], what: str, usual: str) -> float:
    found = NUMBER.fullmatch(text)
    if found is None:
        raise UsageError(f"{option} {text!r} is not {what}.", f"Write a number and a unit, for example 20{usual}.")
    if not found["unit"]:
        hint = f"Write {found['number']}{usual} if you mean {usual}. Known units: {', '.join(units)}."
        raise UsageError(f"{option} {text!r} has no unit.", hint)
    factors = {unit.lower(): factor for unit, factor in units.items()}
    if found["unit"].lower() not in factors:
        raise UsageError(f"{option} {text!r} has an unknown unit.", f"Known units: {', '.join(units)}.")
    value = float(found["number"]) * factors[found["unit"].lower()]
    if not value or not math.isfinite(value):
        raise UsageError(f"{option} {text!r} must be more than zero.", f"Write for example 20{usual}.")
    return value


def format_bytes(count: float) -> str:
    """Return a size for people, three significant digits: ``6.21 MB``."""
    for unit in ("GB", "MB", "kB"):
        if count >= BYTES[unit]:
            return f"{significant(count / BYTES[unit])} {unit}"
    return f"{count:.0f} B"


def format_milliseconds(value: float) -> str:
    """Return a time for people, three significant digits, without the unit: ``19.4``."""
    return significant(value)


def significant(value: float) -> str:
    """Return a positive number with three significant digits, never in powers of ten: ``0.0912``, ``19.4``, ``1240``."""
    if value <= 0:
        return f"{value:.0f}"
    exponent = int(f"{value:.2e}".partition("e")[2])  # of the rounded value: 9.999 is 10.0
    return f"{value:.{max(0, 2 - exponent)}f}"
