"""The table of device profiles: what can be reached now, and what to do for the others."""

from __future__ import annotations

from typing import Any

from edgekit.devices.discovery import REACHABLE, AttachedDevice
from edgekit.devices.listing import DeviceLine, DevicesDocument
from edgekit.devices.profile import environment_prefix
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.sheet import Note, Report, Section

STATE: Column[DeviceLine] = Column(
    "state",
    "State",
    lambda line: line.state,
    shown=shown("always"),
    rank=1,
    style=lambda line: _colour(line.state),
)
MODEL: Column[DeviceLine] = Column("model", "Model", lambda line: line.model, shown=shown("present"), rank=2)
SOC: Column[DeviceLine] = Column("soc", "SoC", lambda line: line.soc, shown=shown("present"), rank=5)
COLUMNS: tuple[Column[DeviceLine], ...] = (
    BY_KEY["device"].of(lambda line: line.name, shown=shown("always"), rank=0),
    STATE,
    Column("runs", "Runs", lambda line: ", ".join(line.runs) or None, shown=shown("present"), rank=3),
    MODEL,
    SOC,
    BY_KEY["os_build"].of(lambda line: line.os_build, heading="System", shown=shown("present"), rank=4, identity=False),
    Column("about", "Description", lambda line: line.description or None, shown=shown("present"), rank=6),
    Column("profile_file", "File", lambda line: line.file, shown=shown(), rank=8),
)
ATTACHED: tuple[Column[AttachedDevice], ...] = (
    Column("serial", "Attached", lambda line: line.serial, shown=shown("always"), rank=0),
    STATE.of(lambda line: line.state, style=lambda line: _colour(line.state)),
    Column("connection", "Reached by", lambda line: line.connection, shown=shown("present"), rank=5),
    MODEL.of(lambda line: line.model),
    SOC.of(lambda line: line.soc),
    Column("cpus", "CPUs", lambda line: line.cpus, shown=shown("present"), rank=6),
    Column("system", "System", lambda line: line.system, shown=shown("present"), rank=3),
    Column(
        "free_bytes",
        "Free",
        lambda line: line.free_bytes,
        shown=shown("present"),
        rank=7,
        text=lambda line: None if line.free_bytes is None else f"{line.free_bytes / 1e9:.1f} GB",
    ),
    Column("profiles", "Profiles", lambda line: ", ".join(line.profiles) or None, shown=shown("present"), rank=2),
)


def _colour(state: str) -> str:
    return "green" if state == REACHABLE else "red"


def devices_report(document: DevicesDocument) -> Report:
    """Return the tables of profiles and of attached devices. Each problem is said once, for all devices that have it."""
    same: dict[str, list[str]] = {}
    for line in document.devices:
        if line.problem:
            same.setdefault(_without_name(line), []).append(line.name)
    for device in document.attached:
        if device.problem or device.hint:
            same.setdefault(f"{device.problem} {device.hint}".strip(), []).append(device.serial)
    notes = [Note(f"{', '.join(names)}: {problem}") for problem, names in same.items()]
    notes += [Note(text) for text in _next_steps(document)]
    sections: list[Section[Any]] = [Section(COLUMNS, document.devices)]
    if document.attached:
        sections.append(Section(ATTACHED, document.attached, "Attached to this computer"))
    return Report(sections, notes, empty="No device profile is found by name.")


def _next_steps(document: DevicesDocument) -> list[str]:
    """Return how to add a profile for what has none."""
    steps = []
    without = [line for line in document.attached if line.state == REACHABLE and set(line.profiles) <= GENERAL]
    if without:
        first = without[0].serial
        steps.append(f"A profile for one attached device: edgekit device add --serial {first}")
    if document.ssh_hosts:
        named = ", ".join(document.ssh_hosts[:8]) + (" ..." if len(document.ssh_hosts) > 8 else "")
        steps.append(
            f"Hosts in ~/.ssh/config without a profile: {named}. They were not tried. "
            f"To add a board: edgekit device add --host {document.ssh_hosts[0]}"
        )
    return steps


GENERAL = {"pixel", "android-tcp"}
"""Profiles of edgekit that reach any phone."""


def _without_name(line: DeviceLine) -> str:
    """Return a device's problem without its name, so that the same problem of several devices is said once."""
    text = f"{line.problem} {line.hint}".strip().removeprefix(line.name).lstrip(": ")
    return text.replace(environment_prefix(line.name), environment_prefix("name"))
