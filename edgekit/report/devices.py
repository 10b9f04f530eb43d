"""The table of device profiles: what can be reached now, and what to do for the others."""

from __future__ import annotations

from edgekit.devices.listing import REACHABLE, DeviceLine, DevicesDocument
from edgekit.devices.profile import environment_prefix
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.sheet import Note, Report, Section

COLUMNS: tuple[Column[DeviceLine], ...] = (
    BY_KEY["device"].of(lambda line: line.name, shown=shown("always"), rank=0),
    Column(
        "state",
        "State",
        lambda line: line.state,
        shown=shown("always"),
        rank=1,
        style=lambda line: "green" if line.state == REACHABLE else "red",
    ),
    Column("runs", "Runs", lambda line: ", ".join(line.runs) or None, shown=shown("present"), rank=3),
    Column("model", "Model", lambda line: line.model, shown=shown("present"), rank=2),
    Column("soc", "SoC", lambda line: line.soc, shown=shown("present"), rank=5),
    BY_KEY["os_build"].of(lambda line: line.os_build, heading="System", shown=shown("present"), rank=4, identity=False),
    Column("about", "Description", lambda line: line.description or None, shown=shown("present"), rank=6),
    Column("profile_file", "File", lambda line: line.file, shown=shown(), rank=8),
)


def devices_report(document: DevicesDocument) -> Report:
    """Return the table of devices. Each problem is said once, for all devices that have it."""
    same: dict[str, list[DeviceLine]] = {}
    for line in document.devices:
        if line.problem:
            same.setdefault(_without_name(line), []).append(line)
    notes = [Note(f"{', '.join(line.name for line in lines)}: {problem}") for problem, lines in same.items()]
    return Report([Section(COLUMNS, document.devices)], notes, empty="No device profile is found by name.")


def _without_name(line: DeviceLine) -> str:
    """Return a device's problem without its name, so that the same problem of several devices is said once."""
    text = f"{line.problem} {line.hint}".strip().removeprefix(line.name).lstrip(": ")
    return text.replace(environment_prefix(line.name), environment_prefix("name"))
