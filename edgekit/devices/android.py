"""Android phones, reached over adb: their identity, temperatures and fixed clocks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.devices.adb.link import AdbLink
from edgekit.devices.adb.profile import AdbProfile, address_of
from edgekit.devices.base import Identity
from edgekit.devices.cpus import FEATURES_LINE, clusters, cpu_features
from edgekit.devices.kinds import configured_by
from edgekit.devices.link import closed_on_failure
from edgekit.devices.preparation import Step
from edgekit.devices.remote import FOLDER, RemoteDevice
from edgekit.devices.thermal import Sensor, android_sensor, thermal_state
from edgekit.errors import EdgekitError, FailureKind

ROOT = f"/data/local/tmp/{FOLDER}"
PROPERTY = re.compile(r"^\[(?P<name>[^]]*)\]: \[(?P<value>[^]]*)\]$", re.MULTILINE)
TEMPERATURE = re.compile(
    r"Temperature\{mValue=(?P<celsius>-?\d+(?:\.\d+)?), mType=(?P<type>-?\d+), mName=(?P<name>[^,]*), mStatus=(?P<status>\d+)\}"
)
THRESHOLD = re.compile(
    r"TemperatureThreshold\{mType=(?P<type>-?\d+), mName=(?P<name>[^,]*), mHotThrottlingThresholds=\[(?P<celsius>[^]]*)\]"
)
CHARGING = {"2": "charging", "3": "discharging", "4": "not charging", "5": "full"}
"""BatteryManager's constants."""
SERIAL = ("ro.serialno", "ro.boot.serialno")
EMULATED_HARDWARE = {"goldfish", "ranchu", "cutf", "cutf_cvm", "vbox86", "android_x86", "android_x86_64"}
"""``ro.hardware`` of virtual devices: Android Studio's emulator, Cuttlefish, Genymotion, and Android-x86."""
SCHEDULING = """cat /proc/self/cpuset 2> /dev/null || echo unknown
cut -d ' ' -f 19 /proc/self/stat 2> /dev/null || echo unknown"""
"""Prints the cpuset (``/``, ``/foreground``, ``/background`` ...) and the nice value of a process that edgekit starts."""
THERMAL_SERVICE = "dumpsys thermalservice 2> /dev/null; true"
STAY_ON = "global stay_on_while_plugged_in"
FIXED_PERFORMANCE = "cmd power set-fixed-performance-mode-enabled"


@configured_by(AdbProfile)
def connect(profile: AdbProfile) -> Android:
    """Reach the phone in the way that the profile's `connection` says. `serial` chooses among several.

    If the profile has neither serial nor host, ANDROID_SERIAL counts: a serial, or HOST:PORT as adb calls phones over TCP.
    """
    named = os.environ.get("ANDROID_SERIAL")
    if named and not profile.serial and not profile.host:
        profile = profile.model_copy(update=address_of(named))
    link = AdbLink(profile)
    link.connect()
    with closed_on_failure(link):
        return Android(profile, link)


class Android(RemoteDevice):
    """A phone, used as the user `shell`: without root and without an app."""

    link: AdbLink
    watch_more = THERMAL_SERVICE

    def __init__(self, profile: AdbProfile, link: AdbLink) -> None:
        super().__init__(profile, link, ROOT)
        self.fixed = False  # whether the phone is in its fixed-performance mode
        self.properties = {found["name"]: found["value"] for found in PROPERTY.finditer(self.check("getprop"))}
        model = self.properties.get("ro.product.model", "unknown")
        if profile.model and model != profile.model:
            message = f"{profile.name} is for another model. The phone at {link.where} is a {model}."
            raise EdgekitError(
                FailureKind.unsupported_device, "reach", message, "The profile `pixel` accepts any phone."
            )
        # Without a host the serial already chose the phone.
        serial = self._first_property(*SERIAL)
        if profile.host and profile.serial and profile.serial != serial:
            message = f"The phone at {link.where} has the serial {serial}, and {profile.name} is for {profile.serial}."
            hint = "Correct `host` or `serial` in the profile."
            raise EdgekitError(FailureKind.unsupported_device, "reach", message, hint)

    def _first_property(self, *names: str) -> str:
        """Return the first property that the phone has among `names`, else ``unknown``."""
        return next((self.properties[name] for name in names if self.properties.get(name)), "unknown")

    def identify(self) -> Identity:
        """Return serial, model, build fingerprint, and SoC, Android version, CPUs and memory."""
        speeds = self.speeds()
        memory = self.check("grep MemTotal /proc/meminfo; true").split()
        facts = {
            "soc": self._first_property("ro.soc.model", "ro.board.platform", "ro.hardware"),
            "cpus": len(speeds) or int(self.check("grep -c ^processor /proc/cpuinfo; true").strip() or 0) or "unknown",
            "machine": self.machine,
            "clusters": clusters(speeds),
            "cpu_features": cpu_features(self.check(f"grep -m 1 -E '{FEATURES_LINE}' /proc/cpuinfo; true").strip()),
            "memory_kb": int(memory[1]) if memory[1:] else "unknown",
            "scheduling": self._scheduling(),
            "android": self._first_property("ro.build.version.release"),
            "api_level": self._first_property("ro.build.version.sdk"),
            "emulated": self.profile.emulated or is_emulator(self.properties),
        }
        return Identity(
            self._first_property(*SERIAL),
            self._first_property("ro.product.model"),
            self._first_property("ro.build.fingerprint"),
            facts,
        )

    def _scheduling(self) -> dict[str, str]:
        """Return how Android schedules what edgekit starts. An app in the foreground is scheduled in another way."""
        cpuset, nice = self.check(SCHEDULING).splitlines()
        return {"user": "root" if self.check("id -u").strip() == "0" else "shell", "cpuset": cpuset, "nice": nice}

    def state(self) -> dict[str, Any]:
        """Return the state of every Linux device, with thermal status, battery, and the way that adb reaches the phone."""
        thermal = self._thermal_service()
        sensors = thermal.sensors or super().thermometers()
        state = {**self.load_and_clocks(), **thermal_state(sensors), "connection": self.link.way}
        state["thermal_status"] = "unknown" if thermal.status is None else thermal.status
        state["battery"] = parse_battery(self.check("dumpsys battery 2> /dev/null; true"))
        if self.fixed and state["clock_rung"] != "fixed":
            state["clock_rung"] = "fixed-performance"
        return state

    def _thermal_service(self) -> Thermal:
        return parse_thermal(self.check(THERMAL_SERVICE))

    def thermal(self, text: str) -> tuple[Sequence[Sensor], int | None]:
        """Read the thermal service's thermometers, else the kernel's, and the thermal status."""
        found = parse_thermal(text)
        return found.sensors or super().thermal(text)[0], found.status

    def thermometers(self) -> Sequence[Sensor]:
        """Return the thermometers of Android's thermal service; those of the kernel if it lists none."""
        return self._thermal_service().sensors or super().thermometers()

    def throttling_from(self) -> Sequence[Sensor]:
        """Return the lowest thresholds of Android's thermal service; those of the kernel if it lists none."""
        return self._thermal_service().throttling_from or super().throttling_from()

    def preparation_steps(self) -> Sequence[Step]:
        """Return the steps that keep the phone awake and hold its clocks, by governors or by its fixed-performance mode."""
        steps = list(self.governor_steps())
        held = bool(steps)
        awake = self.check(f"settings get {STAY_ON} 2> /dev/null; true").strip()
        if awake.isdigit():
            steps.append(Step(f"settings put {STAY_ON} 7", f"settings put {STAY_ON} {awake}"))
        elif awake == "null":  # it was never set
            steps.append(Step(f"settings put {STAY_ON} 7", f"settings delete {STAY_ON}"))
        if re.search("mWakefulness=(Asleep|Dozing)", self.check("dumpsys power 2> /dev/null; true")):
            steps.append(Step("input keyevent KEYCODE_WAKEUP", "input keyevent KEYCODE_SLEEP"))
        self.fixed = not held and self._hold_clocks("false")
        if self.fixed:
            # `prepare` switches it on, because it needs the answer.
            steps.append(Step("true", f"{FIXED_PERFORMANCE} false"))
        return steps

    def prepare(self) -> None:
        """Prepare the phone. Check whether it entered its fixed-performance mode."""
        super().prepare()
        self.fixed = self.fixed and self._hold_clocks("true")

    def _hold_clocks(self, held: str) -> bool:
        """Switch the fixed-performance mode. Return whether the phone did."""
        # A phone without the mode exits with an error. If only its build lacks the mode, it prints a sentence.
        answer = self.shell.attempt(f"{FIXED_PERFORMANCE} {held}")
        return answer.exit_status == 0 and not answer.stdout.strip()


def is_emulator(properties: Mapping[str, str]) -> bool:
    """Say whether Android's properties are those of a virtual device: its times say nothing about a phone's."""
    return (
        "1" in {properties.get("ro.kernel.qemu"), properties.get("ro.boot.qemu")}
        or properties.get("ro.hardware") in EMULATED_HARDWARE
        or "emulator" in properties.get("ro.build.characteristics", "").split(",")
    )


@dataclass(frozen=True)
class Thermal:
    """A report of the thermal service: status from 0 (none) to 6 (shutdown), None if unknown, and the thermometers.

    `throttling_from` gives degrees Celsius at which the phone begins to slow down, of sensors that have such a limit.
    """

    status: int | None
    sensors: tuple[Sensor, ...]
    throttling_from: tuple[Sensor, ...] = ()


def parse_thermal(text: str) -> Thermal:
    """Parse ``dumpsys thermalservice``: the current temperatures if the phone lists them, else the last report."""
    status = re.search(r"^Thermal Status: (\d+)$", text, re.MULTILINE)
    cached, _, current = text.partition("Current temperatures from HAL:")
    sensors = _sensors(current) or _sensors(cached)
    return Thermal(int(status[1]) if status else None, sensors, tuple(_thresholds(text)))


def _thresholds(text: str) -> Iterator[Sensor]:
    """Return the lowest threshold of each sensor that has one. A sensor without a status has NaN for it."""
    for found in THRESHOLD.finditer(text):
        degrees = [float(word) for word in found["celsius"].split(",") if word.strip() != "NaN"]
        if degrees and (sensor := android_sensor(int(found["type"]), found["name"], min(degrees))):
            yield sensor


def _sensors(text: str) -> tuple[Sensor, ...]:
    found = TEMPERATURE.finditer(text)
    sensors = [android_sensor(int(row["type"]), row["name"], float(row["celsius"])) for row in found]
    return tuple(sensor for sensor in sensors if sensor)


def parse_battery(text: str) -> dict[str, Any]:
    """Parse ``dumpsys battery``: level in percent, status, power source, degrees Celsius. A missing value is ``unknown``."""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    plugged = [name for name in ("AC", "USB", "Wireless") if fields.get(f"{name} powered") == "true"]
    return {
        "level": int(fields["level"]) if fields.get("level", "").isdigit() else "unknown",
        "status": CHARGING.get(fields.get("status", ""), "unknown"),
        "plugged": ", ".join(plugged) or ("nothing" if fields.get("status") else "unknown"),
        "temperature_c": int(fields["temperature"]) / 10 if fields.get("temperature", "").isdigit() else "unknown",
    }
