"""What a Jetson adds to a board's state: power mode, held clocks and power rails, from NVIDIA's tools and the kernel.

Nothing is changed, and nothing runs as root. ``jetson_clocks --show`` needs root on most boards. The kernel then shows the
limits of CPU and GPU to everyone. If any of them leaves its clock free, ``jetson_clocks`` is off. If none does, its state
is unknown, because the memory's clock is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

PART = "edgekit-part:"
"""Begins a line that names the part of STATE's output that follows."""
RAILS = r"""value() { cat "$1" 2> /dev/null | tr -d '\n'; }
for label in /sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label; do [ -e $label ] || continue
number=${label##*/in}; number=${number%_label}; folder=${label%/*}; [ -e $folder/curr${number}_input ] || continue
printf '%s\t%s\t%s\t\n' "$(value $label)" "$(value $folder/in${number}_input)" "$(value $folder/curr${number}_input)"; done
for name in /sys/bus/i2c/drivers/ina3221*/*/iio*/rail_name_*; do [ -e $name ] || continue
number=${name##*_}; folder=${name%/*}
printf '%s\t%s\t%s\t%s\n' "$(value $name)" "$(value $folder/in_voltage${number}_input)" \
"$(value $folder/in_current${number}_input)" "$(value $folder/in_power${number}_input)"; done"""
"""Prints the power rails: lines of name, millivolts, milliamperes and milliwatts.

JetPack 5 and later have no power there. JetPack 4 has rails in ``iio:device*``, later ones in ``hwmon*``, where the channel
"sum of shunt voltages" has no current.
"""
STATE = (
    r"""PATH="$PATH:/usr/sbin:/sbin"  # where nvpmodel is, and some accounts do not look
has() { command -v "$1" > /dev/null; }
part() { echo; echo "edgekit-part:$1"; }
value() { cat "$1" 2> /dev/null | tr -d '\n'; }
if has nvpmodel; then part nvpmodel; nvpmodel -q 2>&1 < /dev/null; fi
if has jetson_clocks; then part jetson_clocks; jetson_clocks --show 2>&1 < /dev/null; fi
part limits; for cpu in /sys/devices/system/cpu/cpu[0-9]*; do [ -r $cpu/cpufreq/scaling_max_freq ] || continue
[ "$(value $cpu/online)" = 0 ] && continue
echo "${cpu##*/}: MinFreq=$(value $cpu/cpufreq/scaling_min_freq) MaxFreq=$(value $cpu/cpufreq/scaling_max_freq)"; done
for gpu in /sys/class/devfreq/*gpu* /sys/class/devfreq/*.g[abpv]1*; do [ -r $gpu/max_freq ] || continue
echo "GPU MinFreq=$(value $gpu/min_freq) MaxFreq=$(value $gpu/max_freq) CurrentFreq=$(value $gpu/cur_freq)"; done
part rails
"""
    + RAILS
    + "; true"
)
"""Prints each part that the board has: its tools' outputs, limits of clocks as ``jetson_clocks`` prints them, rails."""
UNKNOWN = "unknown"


def state(output: str) -> dict[str, Any]:
    """Return the entries of a Jetson in a board's state, from what STATE prints. Empty for other boards.

    `nvpmodel` is the power mode's name and number. `jetson_clocks` is ``on``, ``off`` or ``unknown``, and then
    `jetson_clocks_unknown` says why. `clocks` are the limits of ``cpu``, ``gpu`` and ``emc`` in Hz. `power_rails` has volts,
    amperes and watts by the rail's name. What cannot be read is ``unknown``.
    """
    parts = _parts(output)
    found: dict[str, Any] = {}
    if "nvpmodel" in parts:
        found["nvpmodel"] = power_mode(parts["nvpmodel"]) or UNKNOWN
    if "jetson_clocks" in parts:
        found |= clock_state(parts["jetson_clocks"], parts.get("limits", ""))
    if rails := power_rails(parts.get("rails", "")):
        found["power_rails"] = rails
    return found


def clock_rung(found: Mapping[str, Any], otherwise: str) -> str:
    """Return how a Jetson's clocks are held, with its power mode: ``fixed, MAXN``. `otherwise` for other boards.

    ``jetson_clocks`` leaves the governors of the CPUs as they are, so these do not show it.
    """
    if "jetson_clocks" in found:
        otherwise = {"on": "fixed", "off": "free-running"}.get(found["jetson_clocks"], UNKNOWN)
    mode = found.get("nvpmodel")
    return f"{otherwise}, {mode['name']}" if isinstance(mode, Mapping) else otherwise


def power_mode(text: str) -> dict[str, Any] | None:
    """Return name and number of the power mode from what ``nvpmodel -q`` prints; None if it prints neither."""
    match = re.search(r"NV Power Mode:\s*(\S+)\s+(\d+)\b", text)
    return {"name": match[1], "id": int(match[2])} if match else None


def clock_state(shown: str, limits: str = "") -> dict[str, Any]:
    """Return the state of the clocks from what ``jetson_clocks --show`` prints, or else from the kernel's `limits`."""
    clocks = _clocks(shown)
    if clocks:
        held = [_is_held(name, fields) for name, fields in clocks]
        kinds = {_kind(name) for name, _ in clocks}
        if missing := {"cpu", "gpu", "emc"} - kinds:
            why = f"jetson_clocks shows no clock of {', '.join(sorted(missing))}"
            return {
                "jetson_clocks": "off" if not all(held) else UNKNOWN,
                "clocks": _limits(clocks),
                **_because(all(held), why),
            }
        return {"jetson_clocks": "on" if all(held) else "off", "clocks": _limits(clocks)}
    clocks = _clocks(limits)
    is_held = all(_is_held(name, fields) for name, fields in clocks)
    why = " ".join(shown.split())[:200] or "jetson_clocks prints nothing"
    return {"jetson_clocks": UNKNOWN if is_held else "off", "clocks": _limits(clocks), **_because(is_held, why)}


def power_rails(text: str) -> dict[str, Any]:
    """Return rail -> volts, amperes and watts, from the lines of STATE."""
    rails: dict[str, Any] = {}
    for name, *readings in (line.split("\t") for line in text.splitlines() if line.count("\t") == 3):
        volts, amperes, watts = (_thousandth(reading) for reading in readings)
        if watts == UNKNOWN and UNKNOWN not in {volts, amperes}:
            watts = round(volts * amperes, 3)
        rails[name] = {"volts": volts, "amperes": amperes, "watts": watts}
    return rails


def mode_name(stored: Any) -> str:
    """Return a power mode of a stored state, for people and to compare. In older ledgers it is the tool's text."""
    mode = power_mode(stored) if isinstance(stored, str) else stored
    return f"{mode['name']} ({mode['id']})" if isinstance(mode, Mapping) else UNKNOWN


def clocks_name(stored: Any) -> str:
    """Return ``on``, ``off`` or ``unknown`` of a stored state. In older ledgers it is the tool's text."""
    if stored in {"on", "off", UNKNOWN} or not isinstance(stored, str):
        return str(stored or UNKNOWN)
    return str(clock_state(stored)["jetson_clocks"])


def gpu_limits(stored: Any) -> str:
    """Return the lowest and highest clock of the GPU in a stored state's `clocks`, as ``306-918 MHz``."""
    gpu = stored.get("gpu") if isinstance(stored, Mapping) else None
    return f"{gpu['min_hz'] / 1e6:.0f}-{gpu['max_hz'] / 1e6:.0f} MHz" if gpu else UNKNOWN


def _parts(output: str) -> dict[str, str]:
    sections = re.split(rf"^{PART}(.*)$", output, flags=re.M)
    return {name.strip(): text.strip("\n") for name, text in zip(sections[1::2], sections[2::2], strict=True)}


def _clocks(text: str) -> Sequence[tuple[str, dict[str, int]]]:
    """Return name and fields of each clock: ``cpu0: Online=1 MinFreq=..``. CPUs that are off do not count.

    JetPack 7 has no Online, and lists the CPUs that are off.
    """
    off = re.search(r"Offline CPUs: *([\d,-]+)", text)
    offline = _numbers(off[1]) if off else set()
    clocks = []
    for name, rest in re.findall(r"^\s*(cpu\d+|GPU\S*|EMC):?\s+(.*MinFreq=.*)$", text, re.M):
        fields = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", rest)}
        is_off = fields.get("Online") == 0 or (name.startswith("cpu") and int(name[3:]) in offline)
        if {"MinFreq", "MaxFreq"} <= fields.keys() and not is_off:
            clocks.append((name, fields))
    return clocks


def _numbers(ranges: str) -> set[int]:
    pairs = [part.split("-") for part in ranges.split(",") if part]
    return {number for pair in pairs for number in range(int(pair[0]), int(pair[-1]) + 1)}


def _kind(name: str) -> str:
    return re.sub(r"[\d_].*", "", name.lower())


def _is_held(name: str, fields: Mapping[str, int]) -> bool:
    """Say whether a clock is held at its highest. The memory's lowest clock stays: an override holds it."""
    if name == "EMC":
        return bool(fields.get("FreqOverride", fields.get("CurrentFreq") == fields["MaxFreq"]))
    return fields["MinFreq"] == fields["MaxFreq"]


def _limits(clocks: Sequence[tuple[str, Mapping[str, int]]]) -> dict[str, Any]:
    """Return the lowest and the highest limit of each kind of clock in Hz. Of CPUs the tool prints kHz."""
    limits: dict[str, Any] = {}
    for name, fields in clocks:
        factor = 1000 if name.startswith("cpu") else 1
        low, high = (factor * fields[key] for key in ("MinFreq", "MaxFreq"))
        known = limits.setdefault(_kind(name), {"min_hz": low, "max_hz": high})
        known["min_hz"], known["max_hz"] = min(known["min_hz"], low), max(known["max_hz"], high)
    return limits


def _because(unknown: bool, why: str) -> dict[str, str]:
    return {"jetson_clocks_unknown": why} if unknown else {}


def _thousandth(reading: str) -> Any:
    return int(reading) / 1000 if re.fullmatch(r"-?\d+", reading.strip()) else UNKNOWN
