"""What a pack's script wrote on the device: the checks that it is whole and of this pack, and its contents."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.devices.android import PROPERTY, parse_battery, parse_thermal
from edgekit.devices.base import Completed, reported_facts, whole_number
from edgekit.devices.cpus import clock_rung, clusters, cpu_features, parse_cpu_list, parse_speeds, timing_cpus
from edgekit.devices.thermal import parse_zones, thermal_state
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.rented.packing import Pack

Event = dict[str, Any]
SESSION_EVENTS = {"environment", "load", "first", "samples", "done", "error"}
"""What edgekit's runners print."""


@dataclass
class RawSession:
    """One process on the device as the script saw it. `status` is None if the script did not see its end."""

    block: int
    artifact: int
    cpu: int | None
    started_at: datetime
    events: list[Event] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    output: list[tuple[str, str]] = field(default_factory=list)
    status: int | None = None

    @property
    def completed(self) -> Completed:
        """The process as a device would return it."""
        stdout = "\n".join(json.dumps(event) for event in self.events)
        return Completed(-1 if self.status is None else self.status, stdout, "\n".join(self.errors))

    @property
    def values(self) -> NDArray[np.float32] | None:
        """The outputs that came back, or None."""
        if not self.output:
            return None
        how, text = self.output[0][0], "".join(line for _, line in self.output)
        content = base64.b64decode(text) if how == "base64" else bytes.fromhex(text)
        return np.frombuffer(content, dtype="<f4").astype(np.float32)


@dataclass(frozen=True)
class Results:
    """A checked file of results. `facts` maps the moment and the fact to its lines."""

    sha256: str
    started_at: str
    ended_at: str
    sessions: dict[tuple[int, int], RawSession]
    facts: dict[tuple[str, str], list[str]]

    def text(self, moment: str, name: str) -> str:
        """Return the lines of a fact; empty if the device did not report it."""
        return "\n".join(self.facts.get((moment, name), []))


def read_results(file: Path, pack: Pack, pack_sha256: str) -> Results:
    """Read the results of a pack.

    UsageError if the file is not there, is not of a pack, or is of another pack. EdgekitError (``hash_mismatch``) if it is
    incomplete or was changed.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Name the results.jsonl of a pack.") from error
    lines = content.splitlines(keepends=True)
    first = _event(lines[0]) if lines else None
    if not first or first.get("event") != "pack":
        raise UsageError(f"{file} is not what a pack's run.sh writes.", "Name the results.jsonl of a pack.")
    _check_whole(file, lines)
    if (first.get("nonce"), first.get("pack_sha256")) != (pack.nonce, pack_sha256):
        message = (
            f"{file} has the results of another pack: its nonce is {str(first.get('nonce'))[:8]}, not {pack.nonce[:8]}."
        )
        raise UsageError(message, "Name the pack that was on the device: --pack FILE.zip")
    try:
        return _read(hashlib.sha256(content).hexdigest(), first, lines[1:])
    except (KeyError, ValueError, TypeError) as error:
        message = f"{file} has a line that run.sh does not write: {error!r}."
        raise EdgekitError(FailureKind.hash_mismatch, "import", message, "Run the pack again.") from error


def _check_whole(file: Path, lines: list[bytes]) -> None:
    last = _event(lines[-1])
    if not last or last.get("event") != "end":
        message = f"{file} is incomplete: run.sh has not written its last line. Nothing was imported."
        hint = "Run the pack again, and bring back the file after run.sh says that it is done."
        raise EdgekitError(FailureKind.hash_mismatch, "import", message, hint)
    before = b"".join(lines[:-1])
    if (last.get("lines"), last.get("sha256")) != (len(lines) - 1, hashlib.sha256(before).hexdigest()):
        message = f"{file} was changed after run.sh wrote it: its hash is another one. Nothing was imported."
        raise EdgekitError(FailureKind.hash_mismatch, "import", message, "Bring the file back from the device again.")


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line.decode(errors="replace"))
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _read(sha256: str, first: Event, lines: Sequence[bytes]) -> Results:
    ended_at = str((_event(lines[-1]) or {})["ended_at"])
    found = Results(sha256, str(first["started_at"]), ended_at, {}, {})
    current: RawSession | None = None
    for line in lines[:-1]:
        event = _event(line) or {}
        match event:
            case {"event": "fact"}:
                found.facts.setdefault((event["moment"], event["of"]), []).append(event["line"])
            case {"event": "session"}:
                started_at = datetime.fromisoformat(event["started_at"])
                current = RawSession(event["block"], event["artifact"], event["cpu"], started_at)
                if (current.block, current.artifact) in found.sessions:
                    raise ValueError(f"session {current.block} of artifact {current.artifact} occurs twice")
                found.sessions[current.block, current.artifact] = current
            case {"event": "session_end"} if current:
                current.status = int(event["status"])
                current = None
            case {"event": "stderr"} if current:
                current.errors.append(event["line"])
            case {"event": "output"} if current:
                current.output.append((event["as"], event["line"]))
            case {"event": name} if current and name in SESSION_EVENTS:
                current.events.append(event)
            case _:
                raise ValueError(line.decode(errors="replace")[:80])
    return found


def timing_cpu(results: Results) -> int | None:
    """Return the CPU that edgekit would have chosen on this device."""
    allowed = parse_cpu_list(results.text("identity", "allowed"))
    speeds = parse_speeds(results.facts.get(("identity", "speeds"), []))
    return next(iter(timing_cpus(allowed, speeds, 1, "big", "the device")), None)


def identity(results: Results) -> dict[str, Any]:
    """Return the device's facts as those of a device in reach. A fact that it does not report is ``unknown``."""
    linux = reported_facts(results.text("identity", "linux"))
    android = {found["name"]: found["value"] for found in PROPERTY.finditer(results.text("identity", "getprop"))}

    def one(linux_key: str, *properties: str) -> str:
        known = (android[name] for name in properties if android.get(name))
        return next(known, linux.get(linux_key, "unknown"))

    emulator = android.get("ro.kernel.qemu") == "1" or android.get("ro.boot.qemu") == "1"
    facts: dict[str, Any] = {
        "serial": one("serial", "ro.serialno", "ro.boot.serialno"),
        "model": one("model", "ro.product.model"),
        "os_build": one("system", "ro.build.fingerprint"),
        "soc": one("soc", "ro.soc.model", "ro.board.platform", "ro.hardware"),
        "cpus": whole_number(linux.get("cpus", "")) or "unknown",
        "machine": results.text("identity", "uname").strip() or "unknown",
        "clusters": clusters(parse_speeds(results.facts.get(("identity", "speeds"), []))),
        "cpu_features": cpu_features(linux.get("cpu_features", "")),
        "memory_kb": whole_number(linux.get("memory_kb", "")),
        "emulated": emulator,
        "user": results.text("identity", "user").strip() or "unknown",
    }
    if android:
        facts["android"] = android.get("ro.build.version.release", "unknown")
        facts["api_level"] = android.get("ro.build.version.sdk", "unknown")
    return facts


def state(results: Results, moment: str) -> dict[str, Any]:
    """Return the device's state before or after the sessions, as that of a device in reach."""
    load, memory = results.text(moment, "loadavg").split(), results.text(moment, "meminfo").split()
    found: dict[str, Any] = {
        "load_average": float(load[0]) if load else "unknown",
        "memory_available_kb": int(memory[1]) if len(memory) > 1 else "unknown",
        **thermal_state(parse_zones(results.text(moment, "temperatures"))),
        "clock_rung": clock_rung(results.text(moment, "governors").split()),
    }
    if (moment, "thermalservice") in results.facts or (moment, "battery") in results.facts:
        thermal = parse_thermal(results.text(moment, "thermalservice"))
        found |= thermal_state(thermal.sensors) if thermal.sensors else {}
        found["thermal_status"] = "unknown" if thermal.status is None else thermal.status
        found["battery"] = parse_battery(results.text(moment, "battery"))
    return found
