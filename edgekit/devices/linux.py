"""Linux boards, such as Jetsons and Raspberry Pis, reached over SSH."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from edgekit.devices import jetson
from edgekit.devices.base import Completed, Identity, check_identity, reported_facts, whole_number
from edgekit.devices.cpus import FEATURES_LINE, clusters, cpu_features
from edgekit.devices.kinds import configured_by
from edgekit.devices.link import Link, closed_on_failure
from edgekit.devices.occupancy import Occupancy
from edgekit.devices.own_python import OwnPython
from edgekit.devices.preparation import Step
from edgekit.devices.profile import FROM_ENVIRONMENT
from edgekit.devices.remote import FOLDER, RemoteDevice
from edgekit.devices.ssh import SshLink
from edgekit.devices.ssh_connection import SshProfile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners import PYTHON_RUNNER, python_runner_facts

LOGGER = logging.getLogger(__name__)
IDENTITY = f"""first() {{ key=$1; shift; for file; do [ -r $file ] && echo "$key:$(tr -d '\\0' < $file)"; done; }}
first serial /proc/device-tree/serial-number /etc/machine-id
first model /proc/device-tree/model /sys/firmware/devicetree/base/model /sys/class/dmi/id/product_name
name=$(. /etc/os-release 2> /dev/null; echo "$PRETTY_NAME")
echo "system:${{name:-unknown}}, Linux $(uname -r)"; echo "name:$(uname -n)"
echo "soc:$(grep -m 1 -E 'model name|Hardware' /proc/cpuinfo | cut -d : -f 2)"
echo "cpus:$(grep -c ^processor /proc/cpuinfo)"; echo "memory_kb:$(grep MemTotal /proc/meminfo | tr -cd 0-9)"
echo "cpu_features:$(grep -m 1 -E '{FEATURES_LINE}' /proc/cpuinfo | cut -d : -f 2)"
"""
PYTHON_AND_GLIBC = """python3 -c '
import sys, platform
print("%d.%d" % sys.version_info[:2], platform.libc_ver()[1] or "0")' 2> /dev/null || true"""
NEWEST_TFLITE_RUNTIME, OLDEST_TFLITE_RUNTIME = (3, 11), (3, 7)
LITERT = "ai-edge-litert>=2.3,<2.4"
OLDEST_LITERT, LITERT_GLIBC = (3, 10), (2, 34)
"""The wheel is tagged manylinux_2_27, but its library needs GLIBC_2.34."""


def _renamed(runner: object) -> object:
    return "native" if runner == "capsule" else runner


class LinuxProfile(SshProfile):
    """A Linux board. `serial` must be the serial number that the board reports.

    `runner` times artifacts: edgekit's ``native`` runners, or the board's ``python`` that `edgekit device setup` installs.
    ``capsule`` is the earlier name of ``native``.
    """

    serial: Annotated[str | None, FROM_ENVIRONMENT] = None
    runner: Annotated[Literal["native", "python"], BeforeValidator(_renamed)] = "native"


@configured_by(LinuxProfile)
def connect(profile: LinuxProfile) -> LinuxBoard:
    """Reach the board over SSH. EdgekitError (``unsupported_device``) if its model or serial is not the profile's."""
    link = SshLink(profile)
    link.connect()
    with closed_on_failure(link):
        home = link.shell("echo $HOME", 15).stdout.strip()
        board = LinuxBoard(profile, link, f"{home}/.cache/{FOLDER}")
        check_identity(board, link.where, "model", "serial")
        return board


class LinuxBoard(RemoteDevice):
    """A board, used without root."""

    profile: LinuxProfile
    watch_more = jetson.RAILS

    def __init__(self, profile: LinuxProfile, link: Link, root: str) -> None:
        super().__init__(profile, link, root)
        self.python = OwnPython(self.shell)
        self.occupancy = Occupancy(self.shell)

    def identify(self) -> Identity:
        """Return serial number, model, distribution and kernel, with SoC, CPUs and memory as facts."""
        reported = reported_facts(self.check(IDENTITY))
        facts = {
            "soc": reported.get("soc", "unknown"),
            "cpus": whole_number(reported.get("cpus", "")) or "unknown",
            "machine": self.machine,
            "clusters": clusters(self.speeds()),
            "cpu_features": cpu_features(reported.get("cpu_features", "")),
            "memory_kb": whole_number(reported.get("memory_kb", "")),
            "emulated": self.profile.emulated,
        }
        # A board without a serial number is identified by its network name.
        return Identity(
            reported.get("serial") or reported["name"], reported.get("model", "unknown"), reported["system"], facts
        )

    def state(self) -> dict[str, Any]:
        """Return the state of every Linux device. A Jetson adds what :func:`edgekit.devices.jetson.state` lists."""
        state, added = super().state(), jetson.state(self.check(jetson.STATE))
        return {**state, **added, "clock_rung": jetson.clock_rung(added, state["clock_rung"])}

    def prepare(self) -> None:
        """Prepare the board as :meth:`RemoteDevice.prepare` does, unless another edgekit measures on it, of any account.

        EdgekitError (``device_busy``) says who that is.
        """
        self.occupancy.enter()
        self.shell.beat = self.occupancy.beat
        super().prepare()

    def governor_steps(self) -> Sequence[Step]:
        """Return the steps that hold the clocks. None on a Jetson, whose power mode is its owner's choice and is recorded."""
        has_modes = self.check("PATH=$PATH:/usr/sbin:/sbin; command -v nvpmodel; true").strip()
        return () if has_modes else super().governor_steps()

    def _run(self, arguments: Sequence[str], timeout: float, watch: str) -> tuple[Completed, str]:
        """Run a program unless another edgekit measures on the board."""
        self.occupancy.check()
        return super()._run(arguments, timeout, watch)

    def restore(self) -> bool:
        """Restore the board as :meth:`RemoteDevice.restore` does. Notes of killed edgekits of this account are removed."""
        restored = super().restore()
        self.occupancy.clear()
        return restored

    def release(self) -> None:
        """Restore the board and end the connection. If the board cannot be reached, the note on it expires."""
        self.shell.beat = None
        try:
            self.occupancy.leave()
        except EdgekitError as error:
            LOGGER.warning("%s is left as it was prepared: %s", self.profile.name, error.failure.explanation)
            self.link.close()
        else:
            super().release()

    def runner(self, backend: str) -> Sequence[str]:
        """Return the native runner, or the board's own Python if the profile chooses it."""
        if self.profile.runner == "native":
            return super().runner(backend)
        if backend != "tflite":
            message = f"The Python environment of {self.profile.name} runs tflite only, not {backend}."
            raise EdgekitError(FailureKind.unsupported_device, "push", message, "Set `runner: native` in the profile.")
        return (self.own_python(), self.push(PYTHON_RUNNER))

    def native_machine(self) -> str | None:
        """Return the kind of machine if the profile chooses the native runners."""
        return super().native_machine() if self.profile.runner == "native" else None

    def runner_facts(self, backend: str) -> Mapping[str, Any]:
        """Return which build of the runner times a backend's artifacts."""
        return super().runner_facts(backend) if self.profile.runner == "native" else python_runner_facts()

    def own_python(self) -> str:
        """Return the interpreter that :meth:`setup` installed. EdgekitError (``missing_extra``) if it has not run yet."""
        return self.python.interpreter()

    def setup(self) -> str:
        """Make the board's own virtual environment with a runtime that fits it. Return its packages.

        EdgekitError (``unsupported_device``) if no runtime fits its Python and C library. pip does not run then. Nor does it
        while another edgekit measures on the board (``device_busy``).
        """
        self.occupancy.enter()
        try:
            return self._install()
        finally:
            self.occupancy.leave()

    def _install(self) -> str:
        version, glibc = self._python_and_glibc()
        requirement = wheel_for(version, glibc)
        if requirement is None:
            versions = f"Python {'.'.join(map(str, version))} and glibc {'.'.join(map(str, glibc))}"
            message = f"No wheel of ai-edge-litert or tflite-runtime fits {self.profile.name}: it has {versions}."
            raise EdgekitError(
                FailureKind.unsupported_device,
                "setup",
                message,
                "Leave `runner: native` in the profile. The native runners have their own libraries.",
            )
        return self.python.install(requirement, "litert|tflite|numpy")

    def _python_and_glibc(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        versions = self.check(PYTHON_AND_GLIBC).split()
        if not versions:
            raise EdgekitError(
                FailureKind.unsupported_device,
                "setup",
                f"{self.profile.name} has no python3.",
                "Install it, or use the native runners.",
            )
        return _version(versions[0]), _version(versions[1])


def wheel_for(python: tuple[int, ...], glibc: tuple[int, ...]) -> str | None:
    """Return the shell-quoted packages to install with this Python and C library. None if no runtime fits."""
    if python >= OLDEST_LITERT and glibc >= LITERT_GLIBC:
        return f"'{LITERT}'"
    if OLDEST_TFLITE_RUNTIME <= python <= NEWEST_TFLITE_RUNTIME:
        return "'tflite-runtime>=2.14' 'numpy<2'"
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
