"""Macs, and iPhones that are attached to one. Core ML predicts on Apple's systems only, so all runs on a Mac.

The Mac is this computer or one that is reached over SSH. It needs a Python environment with coremltools
(`edgekit device setup mac`). An iPhone also needs Xcode and a development team that may sign coremltools' app.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from edgekit.devices.base import Completed, Identity, check_identity, reported_facts, whole_number
from edgekit.devices.kinds import configured_by
from edgekit.devices.link import Link, closed_on_failure
from edgekit.devices.local import LocalLink
from edgekit.devices.own_python import OwnPython
from edgekit.devices.profile import FROM_ENVIRONMENT
from edgekit.devices.remote import FOLDER, RemoteDevice
from edgekit.devices.shell import MACOS, reason
from edgekit.devices.ssh import SshLink
from edgekit.devices.ssh_connection import SshProfile
from edgekit.devices.watch import Series
from edgekit.errors import EdgekitError, FailureKind
from edgekit.protocol import Cores
from edgekit.runners import COREML_RUNNER, python_runner_facts

COREMLTOOLS = "'coremltools>=9,<10'"
IDENTITY = """echo "model:$(sysctl -n hw.model)"; echo "soc:$(sysctl -n machdep.cpu.brand_string)"
echo "cpus:$(sysctl -n hw.logicalcpu)"; echo "memory_kb:$(expr "$(sysctl -n hw.memsize)" / 1024)"
echo "system:$(sw_vers -productName) $(sw_vers -productVersion) ($(sw_vers -buildVersion))"
echo "serial:$(ioreg -rd1 -c IOPlatformExpertDevice | sed -n 's/.*"IOPlatformSerialNumber" = "\\(.*\\)"/\\1/p')" """
LIST_PHONES = "xcrun devicectl list devices"
PHONES = f"""list=$(mktemp) && {LIST_PHONES} -j "$list" > /dev/null && cat "$list"
status=$?; rm -f "$list"; exit $status"""

Kind = TypeVar("Kind", bound="Mac")


class MacProfile(SshProfile):
    """A Mac: this computer, or the one at `host`.

    `serial` must be the serial number that the Mac reports. `compute_units` are the units that Core ML may use.
    """

    serial: Annotated[str | None, FROM_ENVIRONMENT] = None
    compute_units: Literal["all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"] = "all"


class IPhoneProfile(MacProfile):
    """An iPhone that is attached to a Mac. `serial` chooses among several.

    `development_team` is the id of the Apple team that signs coremltools' app for the iPhone.
    """

    development_team: Annotated[str | None, FROM_ENVIRONMENT] = None


@configured_by(MacProfile)
def connect_mac(profile: MacProfile) -> Mac:
    """Reach the Mac: over SSH if the profile has a host, else this computer.

    EdgekitError: ``needs_mac`` if this computer is not a Mac; ``unsupported_device`` if the host is not, or is another Mac.
    """
    return _connected(Mac, profile, "model", "serial")


@configured_by(IPhoneProfile)
def connect_iphone(profile: IPhoneProfile) -> IPhone:
    """Reach the iPhone through the Mac that it is attached to.

    EdgekitError: ``offline`` and ``several_devices`` name the connected iPhones. ``usage`` if the profile has tools.
    """
    if profile.tools:
        message = (
            f"{profile.name} names tools ({', '.join(profile.tools)}). They would run on the Mac, not on the iPhone."
        )
        hint = "Remove `tools` from the profile, or time the Mac with its own profile."
        raise EdgekitError(FailureKind.usage, "reach", message, hint)
    return _connected(IPhone, profile, "model")  # its serial already chose it


def _connected(kind: type[Kind], profile: MacProfile, *keys: str) -> Kind:
    """Reach the Mac, and compare the profile's `keys` with the device's identity."""
    link = _link(profile)
    link.connect()
    with closed_on_failure(link):
        system, _, home = link.shell("uname -s; echo $HOME", 15).stdout.strip().partition("\n")
        if system != "Darwin":
            message = f"{profile.name} is for a Mac, but the device at {link.where} runs {system}."
            hint = "Correct `host` in the profile. The `kind` of a Linux board is `linux`."
            raise EdgekitError(FailureKind.unsupported_device, "reach", message, hint)
        device = kind(profile, link, f"{home}/Library/Caches/{FOLDER}")
        check_identity(device, link.where, *keys)
        return device


def _link(profile: MacProfile) -> Link:
    if profile.host:
        return SshLink(profile)
    if platform.system() == "Darwin":
        return LocalLink()
    message = f"{profile.name}: Core ML runs on Apple's systems only, and this is {platform.system()}."
    hint = (
        "edgekit builds the package here and compares it with PyTorch. To time it, name a Mac that you reach over SSH: "
        f"--device-option host=ADDRESS, or {profile.environment}HOST."
    )
    raise EdgekitError(FailureKind.needs_mac, "reach", message, hint)


class Mac(RemoteDevice):
    """A Mac, used without root."""

    system = MACOS
    profile: MacProfile

    def __init__(self, profile: MacProfile, link: Link, root: str) -> None:
        super().__init__(profile, link, root)
        self.python = OwnPython(self.shell)

    def identify(self) -> Identity:
        """Return serial number, model and macOS, with processor and memory as facts."""
        reported = reported_facts(self.check(IDENTITY))
        facts = {
            "soc": reported.get("soc", "unknown"),
            "cpus": whole_number(reported.get("cpus", "")),
            "machine": self.machine,
            "memory_kb": whole_number(reported.get("memory_kb", "")),
            "emulated": self.profile.emulated,
        }
        return Identity(reported.get("serial", "unknown"), reported.get("model", "unknown"), reported["system"], facts)

    def timing_cpus(self, threads: int = 1, cores: Cores = "big") -> Sequence[int]:
        """Return none, because macOS does not let a program choose its CPUs.

        EdgekitError (``unsupported_device``) for a protocol that chooses threads or cores, because Core ML chooses itself.
        """
        if (threads, cores) != (1, "big"):
            message = f"Core ML chooses threads and cores itself, so {self.profile.name} cannot follow this protocol."
            raise EdgekitError(FailureKind.unsupported_device, "measure", message, "Choose a protocol with one thread.")
        return ()

    def run_watched(self, arguments: Sequence[str], timeout: float, cpus: Sequence[int]) -> tuple[Completed, Series]:
        """Run a program. macOS shows neither clocks nor temperatures without root, so there is nothing to watch."""
        return self.run(arguments, timeout), {}

    def state(self) -> dict[str, Any]:
        """Return load, thermal limit of the processor's speed, and battery. Only root can read temperatures."""
        loads = re.findall(r"[\d.]+", self.check("sysctl -n vm.loadavg"))
        return {
            "load_average": float(loads[0]) if loads else "unknown",
            "temperature_c": "unknown",
            "clock_rung": "free-running",
            **parse_pmset(self.check("pmset -g therm; pmset -g batt")),
        }

    def runner(self, backend: str) -> Sequence[str]:
        """Return the command of the runner in the environment that `edgekit device setup` made."""
        if backend != "coreml":
            message = f"edgekit has no runner for {backend} on a Mac, only for coreml."
            raise EdgekitError(FailureKind.unsupported_target, "push", message)
        return (self.own_python(), self.push(COREML_RUNNER), "--units", self.profile.compute_units)

    def native_machine(self) -> str | None:
        """Return None, because a Mac has a runner in Python."""
        return None

    def runner_facts(self, backend: str) -> Mapping[str, Any]:
        """Return which build of the runner times Core ML packages."""
        return python_runner_facts(COREML_RUNNER)

    def own_python(self) -> str:
        """Return the interpreter that :meth:`setup` installed. EdgekitError (``missing_extra``) if it has not run yet."""
        return self.python.interpreter()

    def setup(self) -> str:
        """Make the Mac's own virtual environment with coremltools. Return its packages."""
        return self.python.install(COREMLTOOLS, "coremltools|numpy")


class IPhone(Mac):
    """An iPhone that is attached to a Mac. coremltools' app runs on it, everything else on the Mac."""

    profile: IPhoneProfile

    def __init__(self, profile: IPhoneProfile, link: Link, root: str) -> None:
        super().__init__(profile, link, root)
        self.phone = _chosen(profile, self._phones())

    def _phones(self) -> list[dict[str, Any]]:
        """Return the connected iPhones. EdgekitError (``missing_extra``) if Xcode's devicectl does not list them."""
        done = self.shell.attempt(PHONES)
        try:
            if done.exit_status == 0:
                return parse_phones(done.stdout)
        except ValueError as error:
            raise self._unlisted(f"its answer cannot be read: {error}") from error
        raise self._unlisted(reason(f"{done.stdout}\n{done.stderr}".strip()))

    def _unlisted(self, why: str) -> EdgekitError:
        message = f"The Mac of {self.profile.name} lists no phones: {why}"
        hint = (
            f"Run `{LIST_PHONES}` on the Mac. devicectl is one of Xcode's command line tools, since Xcode 15: "
            "install Xcode, open it once, and choose it (sudo xcode-select -s /Applications/Xcode.app)."
        )
        return EdgekitError(FailureKind.missing_extra, "reach", message, hint, retriable=True)

    def identify(self) -> Identity:
        """Return the phone's UDID, model and iOS, as Xcode's devicectl reports them."""
        hardware, properties = self.phone["hardwareProperties"], self.phone.get("deviceProperties", {})
        facts = {
            "soc": hardware.get("cpuType", {}).get("name", "unknown"),
            "machine": hardware.get("productType", "unknown"),
            "reached_by": super().identify().model,
            "emulated": self.profile.emulated,
        }
        system = f"iOS {properties.get('osVersionNumber', 'unknown')} ({properties.get('osBuildUpdate', 'unknown')})"
        return Identity(hardware["udid"], hardware.get("marketingName", "unknown"), system, facts)

    def state(self) -> dict[str, Any]:
        """Return ``unknown`` values: nothing reports the phone's state."""
        return {"load_average": "unknown", "temperature_c": "unknown", "clock_rung": "unknown"}

    def runner(self, backend: str) -> Sequence[str]:
        """Return the Mac's runner with the phone and the signing team. EdgekitError (``usage``) if there is no team."""
        team = self.profile.development_team
        if team is None:
            # Xcode would refuse after a minute, and coremltools does not pass on its message.
            message = f"{self.profile.name} has no development team that signs coremltools' app for the iPhone."
            hint = f"Give its id: {self.profile.environment}DEVELOPMENT_TEAM, or --device-option development_team=ID"
            raise EdgekitError(FailureKind.usage, "push", message, hint)
        phone = ("--phone", self.phone["hardwareProperties"]["udid"], "--work", f"{self.root}/modelrunner")
        return (*super().runner(backend), *phone, "--team", team)


def parse_phones(text: str) -> list[dict[str, Any]]:
    """Parse ``devicectl list devices -j`` and return the connected iPhones. ValueError if it is not a list of devices."""
    try:
        devices = json.loads(text)["result"]["devices"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(text.strip()[:300] or "it is empty") from error
    return [device for device in devices if _is_connected_iphone(device)]


def _is_connected_iphone(device: dict[str, Any]) -> bool:
    """Return whether it is one. devicectl lists few facts of devices that were paired once and are elsewhere."""
    hardware = device.get("hardwareProperties", {})
    return (
        hardware.get("deviceType", "").lower() == "iphone"
        and "udid" in hardware
        and device.get("connectionProperties", {}).get("tunnelState") == "connected"
    )


def parse_pmset(text: str) -> dict[str, Any]:
    """Parse ``pmset -g therm`` and ``pmset -g batt``: the thermal speed limit in percent, and the battery."""
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


def _chosen(profile: MacProfile, phones: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the phone of the profile's `serial`, or the only one."""
    wanted = [
        phone
        for phone in phones
        if profile.serial in {None, phone["hardwareProperties"]["udid"], phone.get("identifier")}
    ]
    if len(wanted) == 1:
        return wanted[0]
    named = ", ".join(
        f"{phone.get('deviceProperties', {}).get('name')} ({phone['hardwareProperties']['udid']})" for phone in phones
    )
    if wanted:
        message = f"{len(wanted)} iPhones are connected: {named}."
        hint = "Choose one: --device-option serial=UDID"
        raise EdgekitError(FailureKind.several_devices, "reach", message, hint, retriable=True)
    message = f"No iPhone{f' {profile.serial}' if profile.serial else ''} is connected. Connected: {named or 'none'}."
    hint = "Attach it, unlock it, trust the Mac and switch developer mode on (Settings, Privacy & Security)."
    raise EdgekitError(FailureKind.offline, "reach", message, hint, retriable=True)
