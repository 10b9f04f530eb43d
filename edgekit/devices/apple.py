"""Macs, and iPhones that are attached to one. Core ML predicts on Apple's systems only, so all of it happens on a Mac.

The Mac is this computer or one that is reached over SSH. It needs a Python environment with coremltools (`edgekit devices setup
mac`), and for an iPhone Xcode and a development team that may sign coremltools' app.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from edgekit.devices.base import Identity
from edgekit.devices.link import Link, closed_on_failure
from edgekit.devices.local import LocalLink
from edgekit.devices.profile import DeviceProfile
from edgekit.devices.remote import FOLDER, DeviceWithPython
from edgekit.devices.ssh import SshLink
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners import COREML_RUNNER

COREMLTOOLS = "'coremltools>=9,<10'"
IDENTITY = """echo "model:$(sysctl -n hw.model)"; echo "soc:$(sysctl -n machdep.cpu.brand_string)"
echo "cpus:$(sysctl -n hw.logicalcpu)"; echo "memory:$(sysctl -n hw.memsize)"
echo "system:$(sw_vers -productName) $(sw_vers -productVersion) ($(sw_vers -buildVersion))"
echo "serial:$(ioreg -rd1 -c IOPlatformExpertDevice | sed -n 's/.*"IOPlatformSerialNumber" = "\\(.*\\)"/\\1/p')" """
PHONES = """list=$(mktemp) && xcrun devicectl list devices -j "$list" > /dev/null && cat "$list"
status=$?; rm -f "$list"; exit $status"""

Kind = TypeVar("Kind", bound="Mac")


def connect_mac(profile: DeviceProfile) -> Mac:
    """Reach the Mac: over SSH where the profile has a host, else this computer; EdgekitError (``needs_mac``) where it is none."""
    return _connected(Mac, profile)


def connect_iphone(profile: DeviceProfile) -> IPhone:
    """Reach the iPhone by the Mac that it is attached to.

    EdgekitError: ``offline`` or ``several_devices`` name what is there, ``usage`` a tool, which no iPhone can run.
    """
    if profile.tools:
        message = (
            f"{profile.name} names tools ({', '.join(profile.tools)}): they would run on the Mac, not on the iPhone."
        )
        hint = "Remove `tools` from the profile, or time the Mac by a profile of its own."
        raise EdgekitError(FailureKind.usage, "reach", message, hint)
    return _connected(IPhone, profile)


def _connected(kind: type[Kind], profile: DeviceProfile) -> Kind:
    link = _link(profile)
    link.connect()
    with closed_on_failure(link):
        home = link.shell("echo $HOME", 15).stdout.strip()
        return kind(profile, link, f"{home}/Library/Caches/{FOLDER}")


def _link(profile: DeviceProfile) -> Link:
    if profile.host:
        return SshLink(profile)
    if platform.system() == "Darwin":
        return LocalLink()
    message = f"{profile.name}: Core ML runs on Apple's systems only, and this is {platform.system()}."
    hint = (
        "The package is built and compared with PyTorch here. To time it, name a Mac that you reach over SSH: "
        f"--device-set host=ADDRESS, or {profile.environment}HOST."
    )
    raise EdgekitError(FailureKind.needs_mac, "reach", message, hint)


class Mac(DeviceWithPython):
    """A Mac as its user sees it."""

    # Every Mac has perl, and none has setsid; before macOS 15 none has sha256sum either.
    detach = "perl -e 'use POSIX; POSIX::setsid(); exec @ARGV' "
    sha256 = "shasum -a 256"
    boot_id = "sysctl -n kern.bootsessionuuid"

    def identify(self) -> Identity:
        """Return serial number, model, macOS; processor and memory."""
        told = dict(line.split(":", 1) for line in self.check(IDENTITY).splitlines())
        facts = {
            "soc": told["soc"] or "unknown",
            "cpus": int(told["cpus"]),
            "machine": self.machine,
            "memory_kb": int(told["memory"]) // 1024,
            "emulated": self.profile.emulated,
        }
        return Identity(told["serial"] or "unknown", told["model"] or "unknown", told["system"], facts)

    def timing_cpu(self) -> int | None:
        """Return None: macOS lets nobody choose."""
        return None

    def state(self) -> dict[str, Any]:
        """Return load, the limit that heat sets to the processor's speed, and battery; temperatures are for root only."""
        return {
            "load_average": float(re.findall(r"[\d.]+", self.check("sysctl -n vm.loadavg"))[0]),
            "temperature_c": "unknown",
            "clock_rung": "free-running",
            **parse_pmset(self.check("pmset -g therm; pmset -g batt")),
        }

    def runner(self, backend: str) -> Sequence[str]:
        """Return the command of the runner in the environment that `edgekit devices setup` has made."""
        if backend != "coreml":
            message = f"edgekit has no runner for {backend} on a Mac, only for coreml."
            raise EdgekitError(FailureKind.unsupported_target, "push", message)
        return (self.own_python(), self.push(COREML_RUNNER), "--units", self.profile.compute_units)

    def setup(self) -> str:
        """Make the Mac's own virtual environment with coremltools; return what is in it."""
        return self.make_environment(COREMLTOOLS, "coremltools|numpy")


class IPhone(Mac):
    """An iPhone that is attached to a Mac: coremltools' app runs there, everything else on the Mac."""

    def __init__(self, profile: DeviceProfile, link: Link, root: str) -> None:
        super().__init__(profile, link, root)
        self.phone = _chosen(profile, parse_phones(self.check(PHONES)))

    def identify(self) -> Identity:
        """Return the phone's UDID, model and iOS, as Xcode's devicectl tells them."""
        hardware, properties = self.phone["hardwareProperties"], self.phone["deviceProperties"]
        facts = {
            "soc": hardware.get("cpuType", {}).get("name", "unknown"),
            "machine": hardware.get("productType", "unknown"),
            "reached_by": super().identify().model,
            "emulated": self.profile.emulated,
        }
        system = f"iOS {properties.get('osVersionNumber', 'unknown')} ({properties.get('osBuildUpdate', 'unknown')})"
        return Identity(hardware["udid"], hardware.get("marketingName", "unknown"), system, facts)

    def state(self) -> dict[str, Any]:
        """Return what is known of the phone: nothing."""
        return {"load_average": "unknown", "temperature_c": "unknown", "clock_rung": "unknown"}

    def runner(self, backend: str) -> Sequence[str]:
        """Return the Mac's runner, told which phone to use and who signs; EdgekitError (``usage``) where nobody does."""
        team = self.profile.development_team
        if team is None:
            # Xcode would refuse after a minute, and coremltools loses what it says.
            message = f"{self.profile.name} has no development team that signs coremltools' app for the iPhone."
            hint = f"Give its id: {self.profile.environment}DEVELOPMENT_TEAM, or --device-set development_team=ID"
            raise EdgekitError(FailureKind.usage, "push", message, hint)
        phone = ("--phone", self.phone["hardwareProperties"]["udid"], "--work", f"{self.root}/modelrunner")
        return (*super().runner(backend), *phone, "--team", team)


def parse_phones(text: str) -> list[dict[str, Any]]:
    """Return the iPhones that are connected, from ``devicectl list devices -j``."""
    devices = json.loads(text)["result"]["devices"]
    return [
        one
        for one in devices
        if one["hardwareProperties"].get("deviceType", "").lower() == "iphone"
        and one["connectionProperties"].get("tunnelState") == "connected"
    ]


def parse_pmset(text: str) -> dict[str, Any]:
    """Read ``pmset -g therm`` and ``pmset -g batt``: speed limit in percent, where heat has set one, and the battery."""
    limit, level = re.search(r"CPU_Speed_Limit\s*= (\d+)", text), re.search(r"\t(\d+)%; ([\w ]+);", text)
    source = re.search(r"Now drawing from '(.+?)'", text)
    return {
        "speed_limit_percent": int(limit[1]) if limit else "unknown",
        "battery": {
            "level": int(level[1]) if level else "unknown",
            "status": level[2] if level else "unknown",
            "plugged": source[1] if source else "unknown",
        },
    }


def _chosen(profile: DeviceProfile, phones: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the phone of the profile's `serial`, or the only one."""
    wanted = [one for one in phones if profile.serial in {None, one["hardwareProperties"]["udid"], one["identifier"]}]
    if len(wanted) == 1:
        return wanted[0]
    named = ", ".join(f"{one['deviceProperties'].get('name')} ({one['hardwareProperties']['udid']})" for one in phones)
    if wanted:
        message = f"{len(wanted)} iPhones are connected: {named}."
        hint = "Choose one: --device-set serial=UDID"
        raise EdgekitError(FailureKind.several_devices, "reach", message, hint, retriable=True)
    message = (
        f"No iPhone{f' {profile.serial}' if profile.serial else ''} is connected; connected are: {named or 'none'}."
    )
    hint = "Attach it, unlock it, trust the Mac and switch developer mode on (Settings, Privacy & Security)."
    raise EdgekitError(FailureKind.offline, "reach", message, hint, retriable=True)
