"""A profile for a device that has none: written from what the device reports, with comments that say so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from edgekit.devices.adb.profile import AdbProfile, address_of
from edgekit.devices.base import Identity, opened
from edgekit.devices.discovery import system_of
from edgekit.devices.profile import DeviceProfile, config_of, known_profiles, load_profile, stored_profile
from edgekit.devices.remote import RemoteDevice
from edgekit.devices.thermal import Sensor, SensorType
from edgekit.errors import UsageError
from edgekit.runners.bundle import ARCHITECTURES

MARGINS: Mapping[SensorType, float] = {"skin": 2.0, "cpu": 10.0}
"""Degrees below the temperature from which the device slows down, so that a session ends before that."""
LIMITS: Mapping[str, Mapping[SensorType, float]] = {
    "android": {"skin": 37.0, "cpu": 60.0, "battery": 36.0},
    "linux": {"cpu": 65.0, "skin": 45.0},
}
"""Kind of device -> the highest limits, in degrees Celsius, and those of a device that does not report when it slows down."""
ONLY_WITHOUT: Mapping[SensorType, set[SensorType]] = {"battery": {"skin", "cpu"}}
"""A type that counts only if the device has none of the others."""


def added_profile(values: Mapping[str, Any], name: str | None, output: Path | None) -> tuple[DeviceProfile, Path]:
    """Reach the device of `values` (a profile's keys), write a profile from what it reports, and return it and its file.

    Without a `name` it is the model's, and without `output` the file is in the user's folder of profiles.
    EdgekitError if the device cannot be reached. UsageError if the name is taken, or the file exists.
    """
    file = _file(name, output) if name else None
    wanted = _wanted(name or "new-device", values)
    with opened(wanted) as device:
        assert isinstance(device, RemoteDevice)  # every kind in LIMITS is one
        identity = device.identify()
        keys = {**wanted.model_dump(include=set(values)), **_address(device, identity)}
        if name is None and (known := _profile_with(keys)):
            raise UsageError(f"{known} is a profile for this device already.", "To add another, give it a name.")
        chosen = name or _free_name(identity)
        file = file or _file(chosen, output)
        text = _written(chosen, keys, identity, device)
    _write(file, text)
    return load_profile(str(file)), file


def _write(file: Path, text: str) -> None:
    """Write a new file, whole or not at all. UsageError if it exists or cannot be written."""
    if file.exists():
        raise UsageError(f"There is a file {file} already.", "Choose another name, or remove it.")
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise UsageError(
            f"{file} cannot be written: {error.strerror}.", "Choose another place: --output FILE"
        ) from error


def _wanted(name: str, values: Mapping[str, Any]) -> DeviceProfile:
    """Return a profile that only reaches the device. UsageError for a key or a value that profiles do not have."""
    if written := sorted(set(values) & {"name", "runs", "model", "description"}):
        message = f"edgekit writes {written[0]} itself, from what the device reports."
        raise UsageError(message, "Omit this option. Edit the file afterwards.")
    if values["kind"] not in LIMITS:
        message = f"edgekit writes profiles for phones and boards, not for the kind {values['kind']}."
        raise UsageError(message, "Copy a profile of that kind: edgekit device list --format json shows the files.")
    try:
        return stored_profile({"name": name, "runs": (), **values})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UsageError(f"Profiles have no key {key}.", config_of(values["kind"]).about_keys()) from error
        raise UsageError(f"{key}: {first['msg'].removeprefix('Value error, ')}.") from error


def _address(device: RemoteDevice, identity: Identity) -> dict[str, Any]:
    """Return the keys by which a phone is reached again. A phone on the network is also known by its serial number."""
    profile = getattr(device.link, "profile", None)
    if not isinstance(profile, AdbProfile):
        return {}
    keys = address_of(profile.serial) if profile.serial and not profile.host else {}
    if profile.host:
        keys = {"host": profile.host, "port": profile.port}
    # In the name of wireless debugging a part may change.
    on_network = "host" in keys or "._adb-tls-connect." in keys.get("serial", "")
    if on_network and identity.serial != "unknown":
        keys["serial"] = identity.serial
    return {key: value for key, value in keys.items() if value is not None}


def _profile_with(keys: Mapping[str, Any]) -> str | None:
    """Return the name of a known profile for the one device with this serial number or this host."""
    for name, file in known_profiles().items():
        try:
            profile = load_profile(str(file))
        except UsageError:  # `edgekit device list` reports what is wrong with it
            continue
        own = profile.model_dump()
        same_serial = keys.get("serial") and own.get("serial") == keys["serial"]
        same_address = keys.get("host") and (own.get("host"), own.get("port")) == (keys["host"], keys.get("port"))
        if same_serial or same_address:
            return name
    return None


def _free_name(identity: Identity) -> str:
    """Return a name for the device that no profile has: its model, then with the end of its serial number."""
    words = re.sub(r"[^a-z0-9]+", "-", identity.model.lower()).strip("-") or "device"
    end = re.sub(r"[^a-z0-9]+", "", identity.serial.lower())[-4:]
    return next((name for name in (words, f"{words}-{end}") if name not in known_profiles()), words)


def _file(name: str, output: Path | None) -> Path:
    """Return the file of the new profile. UsageError if its name is taken."""
    if output is not None:
        if output.stem != name:
            raise UsageError(f"The profile {name} cannot be in {output}.", f"Call the file {name}.yaml.")
        return output
    if (known := known_profiles().get(name)) is not None:
        raise UsageError(f"There is a device {name} already: {known}.", "Choose another name: edgekit device add NAME")
    return Path(platformdirs.user_config_dir("edgekit")) / "device_profiles" / f"{name}.yaml"


def _written(name: str, values: dict[str, Any], identity: Identity, device: RemoteDevice) -> str:
    """Return the profile's text."""
    document = CommentedMap({"name": name, "description": _described(identity), **values})
    runs = CommentedSeq(["tflite", "executorch"] if device.machine in ARCHITECTURES else [])
    runs.fa.set_flow_style()
    document["runs"] = runs
    if identity.model != "unknown":
        document["model"] = identity.model
    if "max_temperature_c" not in values:
        _add_limit(document, device)
    if identity.facts.get("emulated"):
        document["emulated"] = True
        document.yaml_add_eol_comment("its times say nothing about a real device", "emulated")
    if not runs:
        document.yaml_add_eol_comment(f"edgekit has no native runner for {device.machine}", "runs")
    document.yaml_set_start_comment("\n".join(_comment(identity, device)))
    text = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(document, text)
    return text.getvalue()


def _described(identity: Identity) -> str:
    return f"{identity.model}, {system_of(identity)}" if identity.model != "unknown" else system_of(identity)


def _comment(identity: Identity, device: RemoteDevice) -> list[str]:
    """Return what the device reported, for the head of the file."""
    facts = identity.facts
    memory = facts.get("memory_kb")
    free = device.disk.free()
    lines = [
        f"Written by `edgekit device add` on {date.today()}, from what the device reported over {device.link.where}.",
        f"SoC: {facts.get('soc', 'unknown')}; {facts.get('machine', 'unknown')}",
        f"CPUs: {_clusters(facts)}; edgekit times on CPU {', '.join(map(str, device.timing_cpus())) or 'unknown'}",
        f"memory: {memory / 1e6:.1f} GB" if isinstance(memory, int) else "memory: unknown",
        f"free space: {free / 1e9:.1f} GB" if free is not None else "free space: unknown",
    ]
    sensors = device.thermometers()
    lines += [f"thermometer: {sensor.name} ({sensor.type}), {sensor.celsius:.1f} degrees" for sensor in sensors[:12]]
    if len(sensors) > 12:
        lines.append(f"and {len(sensors) - 12} other thermometers")
    return lines


def _clusters(facts: Mapping[str, Any]) -> str:
    """Return the CPUs by their speed: ``0-3 (1766400 kHz); 4-7 (2803200 kHz)``."""
    speeds = facts.get("clusters")
    if not isinstance(speeds, Mapping):
        return f"{facts.get('cpus', 'unknown')}, of unknown speed"
    groups: dict[str, list[int]] = {}
    for cpu, own in speeds.items():
        unit = {"cpuinfo_max_freq": "{} kHz", "cpu_capacity": "capacity {}"}
        said = ", ".join(unit[key].format(value) for key, value in own.items() if key in unit)
        groups.setdefault(said, []).append(int(cpu))
    return "; ".join(f"{_ranges(cpus)} ({said})" for said, cpus in groups.items())


def _ranges(cpus: Sequence[int]) -> str:
    """Return CPUs as the kernel writes them: ``0-3,6``."""
    starts = [cpu for cpu in sorted(cpus) if cpu - 1 not in cpus]
    ends = [cpu for cpu in sorted(cpus) if cpu + 1 not in cpus]
    return ",".join(str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True))


def _add_limit(document: CommentedMap, device: RemoteDevice) -> None:
    """Add the temperatures above which no session begins, and why they are these."""
    sensors, throttling = device.thermometers(), device.throttling_from()
    limits = sensible_limits(device.profile.kind, sensors, throttling)
    if not limits:
        return
    document["max_temperature_c"] = flow = CommentedMap(limits)
    flow.fa.set_flow_style()
    reported = {sensor.type: sensor.celsius for sensor in sorted(throttling, key=lambda one: -one.celsius)}
    said = [f"{name} from {reported[name]:.0f} degrees" for name in limits if name in reported]
    why = f"the device slows down by {' and '.join(said)}" if said else "the device does not report when it slows down"
    document.yaml_add_eol_comment(why, "max_temperature_c")


def sensible_limits(kind: str, sensors: Sequence[Sensor], throttling: Sequence[Sensor]) -> dict[SensorType, float]:
    """Return the limit of each type of sensor that should count for a device of this `kind`, in degrees Celsius.

    `throttling` are the temperatures from which the device slows down.
    """
    there = {sensor.type for sensor in sensors}
    limits: dict[SensorType, float] = {}
    for name, highest in LIMITS[kind].items():
        if name not in there or ONLY_WITHOUT.get(name, set()) & there:
            continue
        lowest = min((sensor.celsius for sensor in throttling if sensor.type == name), default=None)
        limits[name] = highest if lowest is None else min(highest, lowest - MARGINS.get(name, 0.0))
    return limits
