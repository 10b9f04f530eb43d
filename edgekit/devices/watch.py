"""What a device shows while a program is timed on it: temperatures, clocks, load and power, at least once a second.

A POSIX shell on the device prints it, on CPUs that are not timed. It uses files and builtins, so a look takes milliseconds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edgekit.devices.scripts import TEMPERATURES
from edgekit.devices.thermal import Sensor, parse_zones, thermal_state

PAUSE_SECONDS = 0.6
"""Between two looks, so that even slow ones come once a second."""
Series = Mapping[str, Any]
"""What was seen, by columns of equal length: `uptime_s`, `load_average`, and the others that :func:`parse_watch` lists."""
Thermal = Callable[[str], tuple[Sequence[Sensor], int | None]]
"""Reads the thermometers and Android's thermal status from the text of one look."""

WATCH = r"""while {alive}; do
{{ read -r up _ < /proc/uptime; read -r load _ < /proc/loadavg; }} 2> /dev/null; echo "@ $up $load"
for cpu in {cpus}; do clock=; read -r clock < /sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_cur_freq
[ -z "$clock" ] || echo "clock $cpu $clock"; done 2> /dev/null
while read -r name rest; do case $name in {counters}) echo "stat $name $rest";; esac; done < /proc/stat 2> /dev/null
for supply in /sys/class/power_supply/*; do amperes=; volts=
{{ read -r amperes < $supply/current_now; read -r volts < $supply/voltage_now; }} 2> /dev/null
[ -z "$amperes" ] || echo "power ${{supply##*/}} $amperes $volts"; done
(
{temperatures}
)
{more}
sleep {pause}
done"""
PINNED = r"""watcher=; if [ "$(grep -c ^processor /proc/cpuinfo)" -gt {count} ]; then
if command -v taskset > /dev/null; then taskset {mask} sh -c {watch} > watch 2> /dev/null &
else sh -c {watch} > watch 2> /dev/null & fi
watcher=$!; fi"""
MASK_CPUS = 32
"""A mask has a multiple of so many CPUs. The kernel ignores those that do not exist."""
NUMBER = re.compile(r"-?\d+")
STOLEN, COUNTERS = 7, 8
"""Place of the time that a hypervisor took in a line of /proc/stat, and how many counters make up the whole time."""


def watch_script(cpus: Sequence[int], alive: str, more: str = "") -> str:
    """Return the script that watches while the command `alive` succeeds. `more` are a device's own commands for each look."""
    return WATCH.format(
        alive=alive,
        cpus=" ".join(map(str, cpus)),
        counters="|".join(f"cpu{cpu}" for cpu in cpus) or "none",
        temperatures=TEMPERATURES,
        more=more,
        pause=PAUSE_SECONDS,
    )


def pinned_watch(cpus: Sequence[int], alive: str, more: str = "") -> str:
    """Return a shell's commands that start :func:`watch_script` on other CPUs than `cpus`, if there are any.

    It writes the file `watch`. `watcher` is its process, or empty. Without taskset it runs where the kernel wants. The mask is
    computed here, because a phone's shell calculates with 32 bits, and CPUs may be off or have higher numbers.
    """
    width = MASK_CPUS * (max(cpus, default=0) // MASK_CPUS + 1)
    mask = (1 << width) - 1 - sum(1 << cpu for cpu in cpus)
    return PINNED.format(count=len(cpus), mask=f"{mask:x}", watch=shlex.quote(watch_script(cpus, alive, more)))


def zones_only(text: str) -> tuple[Sequence[Sensor], int | None]:
    """Read the kernel's thermal zones. Linux has no thermal status."""
    return parse_zones(text), None


def parse_watch(text: str, thermal: Thermal = zones_only) -> Series:
    """Return what the script printed, by columns. A value that is not there is None; a column without values is left out.

    - `uptime_s`: seconds since the start of the system; `load_average`;
    - `clock_khz`: by CPU; `stolen`: by CPU, the part of its time that a hypervisor took since the look before;
    - `temperature_c`: of the hottest sensor of each type; `thermal_status`: Android's, 0 to 6;
    - `watts`: by battery or rail.
    """
    looks = list(_looks(text, thermal))
    series: dict[str, Any] = {name: [look.get(name) for look in looks] for name in ("uptime_s", "load_average")}
    for name in ("clock_khz", "stolen", "temperature_c", "watts"):
        keys = dict.fromkeys(key for look in looks for key in look[name])
        if keys:
            series[name] = {key: [look[name].get(key) for look in looks] for key in keys}
    if any(look["thermal_status"] is not None for look in looks):
        series["thermal_status"] = [look["thermal_status"] for look in looks]
    return series


def _looks(text: str, thermal: Thermal) -> Iterator[dict[str, Any]]:
    before: dict[str, list[int]] = {}
    for look in re.split(r"^@ ", text, flags=re.MULTILINE)[1:]:
        head, _, rest = look.partition("\n")
        times = head.split()
        if len(times) != 2 or not look.endswith("\n"):
            continue  # it was ended in the middle
        rows = [line.split() for line in rest.splitlines()]
        sensors, status = thermal(rest)
        counters = {
            row[1].removeprefix("cpu"): [*map(int, row[2 : 2 + COUNTERS])] for row in rows if row[:1] == ["stat"]
        }
        hottest = thermal_state(sensors)["temperatures"]
        yield {
            "uptime_s": float(times[0]),
            "load_average": float(times[1]),
            "clock_khz": {row[1]: int(row[2]) for row in rows if row[:1] == ["clock"] and NUMBER.fullmatch(row[2])},
            "stolen": {cpu: _stolen(before[cpu], now) for cpu, now in counters.items() if cpu in before},
            "temperature_c": {kind: sensor["celsius"] for kind, sensor in hottest.items()},
            "watts": dict(_watts(rest)),
            "thermal_status": status,
        }
        before = counters


def _stolen(before: Sequence[int], now: Sequence[int]) -> float | None:
    if not len(before) == len(now) == COUNTERS:
        return None
    spent = [late - early for early, late in zip(before, now, strict=True)]
    return round(spent[STOLEN] / sum(spent), 4) if sum(spent) > 0 else None


def _watts(text: str) -> Iterator[tuple[str, float]]:
    """Return batteries, from microamperes and microvolts, and the rails of :data:`edgekit.devices.jetson.RAILS`."""
    from edgekit.devices.jetson import power_rails

    for name, amperes, volts in re.findall(r"^power (\S+) (-?\d+) (\d+)$", text, re.MULTILINE):
        yield name, round(abs(int(amperes)) * int(volts) / 1e12, 4)
    for name, rail in power_rails(text).items():
        if isinstance(rail["watts"], float):
            yield name, rail["watts"]
