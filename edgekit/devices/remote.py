"""A Unix system behind a link, made of parts.

It holds one part for each thing that edgekit does there:

- :class:`~edgekit.devices.shell.Shell`: commands over a link that may break;
- :class:`~edgekit.devices.work.Work`: folders of running programs and transfers, and how to stop them;
- :class:`~edgekit.devices.disk.Disk`: free space;
- :class:`~edgekit.devices.files.Files`: files that are kept by their hash;
- :class:`~edgekit.devices.preparation.Preparation`: settings that are changed and restored;
- :class:`~edgekit.devices.programs.Programs`: programs that outlive a broken link.

A kind of device adds its identity (:meth:`RemoteDevice.identify`) and other differences.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from edgekit.config.yaml import Written
from edgekit.devices.base import Completed, Identity
from edgekit.devices.cpus import allowed_cpus, clock_rung, parse_siblings, parse_speeds, timing_cpus
from edgekit.devices.disk import Disk
from edgekit.devices.files import Files
from edgekit.devices.link import Link
from edgekit.devices.preparation import Preparation, Step
from edgekit.devices.profile import DeviceProfile
from edgekit.devices.programs import Programs
from edgekit.devices.scripts import ALLOWED, FREE_GOVERNORS, GOVERNORS, SIBLINGS, SPEEDS, TEMPERATURES, TRIPS
from edgekit.devices.shell import LINUX, Shell, System
from edgekit.devices.thermal import Sensor, parse_zones, thermal_state
from edgekit.devices.watch import Series, parse_watch, pinned_watch, zones_only
from edgekit.devices.work import Work
from edgekit.errors import EdgekitError, FailureKind
from edgekit.protocol import Cores
from edgekit.runners.bundle import Bundle, bundle_for, command

FOLDER = "edgekit-device"
"""Name of edgekit's folder on a device. Programs, clones and caches of edgekit's users there have other names."""


Port = Annotated[int, Field(ge=1, le=65535)]


class RemoteProfile(DeviceProfile):
    """A device that is reached by a link. `folder` is where edgekit makes its own folder on the device."""

    folder: Annotated[str, Written(r"^/[\w./-]+$", "an absolute path, of letters, digits and . _ - /")] | None = None


class RemoteDevice(ABC):
    """A :class:`~edgekit.devices.base.Device` that is reached by a link, made of its parts.

    `root` is the absolute path of edgekit's folder there. A `folder` in a :class:`RemoteProfile` replaces its parent.
    """

    system: System = LINUX
    watch_more: str = ""
    """Commands of the kind of device for each look of a watch."""

    def __init__(self, profile: DeviceProfile, link: Link, root: str) -> None:
        # Never the user's folder itself, because edgekit removes its folder with everything in it.
        if isinstance(profile, RemoteProfile) and profile.folder:
            root = f"{profile.folder.rstrip('/')}/{FOLDER}"
        self.profile, self.link, self.root = profile, link, root
        self.shell = Shell(link, root, profile.name, self.system)
        self.work = Work(self.shell)
        self.disk = Disk(self.shell)
        self.files = Files(self.shell, self.work, self.disk)
        self.preparation = Preparation(self.shell, self.work)
        self.programs = Programs(self.shell, self.work, self.disk, self.preparation)
        self.machine = self.check("uname -m").strip()

    @abstractmethod
    def identify(self) -> Identity:
        """Return the device's identity."""

    def state(self) -> dict[str, Any]:
        """Return the current load, memory, temperature and clocks."""
        return {**self.load_and_clocks(), **thermal_state(self.thermometers())}

    def load_and_clocks(self) -> dict[str, Any]:
        """Return the current state without temperatures, and what the device refused when it was prepared."""
        load, _, memory = self.check("cat /proc/loadavg; grep MemAvailable /proc/meminfo; true").partition("\n")
        available = memory.split()
        refused = self.preparation.refused
        return {
            "load_average": float(load.split()[0]),
            "memory_available_kb": int(available[1]) if len(available) > 1 else "unknown",
            "clock_rung": clock_rung(self.check(GOVERNORS).split()),
            **({"not_prepared": refused} if refused else {}),
        }

    def thermometers(self) -> Sequence[Sensor]:
        """Return the device's thermometers, from the kernel's thermal zones."""
        return parse_zones(self.check(TEMPERATURES))

    def throttling_from(self) -> Sequence[Sensor]:
        """Return the temperatures from which the device slows down, of sensors for which it reports one."""
        return parse_zones(self.check(TRIPS))

    def timing_cpus(self, threads: int = 1, cores: Cores = "big") -> Sequence[int]:
        """Return allowed CPUs as :func:`edgekit.devices.cpus.timing_cpus` chooses them."""
        allowed = allowed_cpus(self.check(ALLOWED))
        siblings = parse_siblings(self.check(SIBLINGS)) if threads > 1 else {}
        return timing_cpus(allowed, self.speeds(), threads, cores, self.profile.name, siblings)

    def speeds(self) -> dict[int, dict[str, int]]:
        """Return CPU -> file of SPEED_FILES -> value; empty if the device reports neither."""
        return parse_speeds(self.check(SPEEDS).splitlines())

    def preparation_steps(self) -> Sequence[Step]:
        """Return what to change before measuring. A kind of device may have more."""
        return self.governor_steps()

    def governor_steps(self) -> Sequence[Step]:
        """Return the steps that hold the clocks of the CPUs. None if the account may not: mostly only root may."""
        lines = [line.split() for line in self.check(FREE_GOVERNORS).splitlines()]
        return [
            Step(f"echo performance > {file}", f"[ ! -e {file} ] || echo {held} > {file}")  # a CPU may be off by then
            for file, held in (words for words in lines if len(words) == 2)
            if re.fullmatch(r"\w+", held)
        ]

    def prepare(self) -> None:
        """Restore the device after a killed edgekit, then do :meth:`preparation_steps`.

        EdgekitError if restoring fails. Another preparation would then lose the original settings.
        """
        self.restore()
        self.preparation.prepare(self.preparation_steps())

    def restore(self) -> bool:
        """Stop the programs and undo the preparation of any edgekit. Say whether there was any."""
        return self.preparation.restore()

    def clean(self) -> None:
        """Remove all that belongs to edgekit: programs, files, the folder itself."""
        self.restore()
        self.check(f"rm -rf {self.root}")

    def release(self) -> None:
        """Restore the device unless another edgekit has prepared it since, and end the connection."""
        try:
            self.preparation.release()
        finally:
            self.link.close()

    def push(self, local: Path) -> str:
        """Send a file or folder to the device, as :meth:`Files.push` does."""
        return self.files.push(local)

    def pull(self, remote: str, local: Path) -> None:
        """Fetch a file from the device, as :meth:`Files.pull` does."""
        self.files.pull(remote, local)

    def scratch(self, name: str) -> str:
        """Return a path for a file that a program writes; :meth:`restore` removes it."""
        return self.work.scratch(name)

    def runner(self, backend: str) -> Sequence[str]:
        """Send edgekit's own runner for this machine to the device. Return its command."""
        return command(self.push(self._bundle.folder), self.machine, backend)

    def runner_facts(self, backend: str) -> Mapping[str, Any]:
        """Return which build of the runner times a backend's artifacts."""
        return self._bundle.facts

    def native_machine(self) -> str | None:
        """Return the kind of machine (`uname -m`) whose native runners time here. None if another runner does."""
        return self.machine

    @cached_property
    def _bundle(self) -> Bundle:
        return bundle_for(self.machine)

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program, as :meth:`Programs.run` does. If the device rebooted, prepare it again before the error."""
        return self._run(arguments, timeout, "")[0]

    def run_watched(self, arguments: Sequence[str], timeout: float, cpus: Sequence[int]) -> tuple[Completed, Series]:
        """Run a program on `cpus`, and watch the device from the other ones."""
        completed, seen = self._run(arguments, timeout, pinned_watch(cpus, "[ -e pid ]", self.watch_more))
        return completed, parse_watch(seen, self.thermal)

    def thermal(self, text: str) -> tuple[Sequence[Sensor], int | None]:
        """Read the thermometers and Android's thermal status from one look of a watch."""
        return zones_only(text)

    def _run(self, arguments: Sequence[str], timeout: float, watch: str) -> tuple[Completed, str]:
        try:
            return self.programs.run_watched(arguments, timeout, watch)
        except EdgekitError as error:
            if error.failure.kind is FailureKind.rebooted and self.preparation.prepared:
                self.preparation.prepared = False
                self.prepare()
            raise

    def check(self, command: str, timeout: float | None = None) -> str:
        """Return what a short command prints, as :meth:`Shell.check` does."""
        return self.shell.check(command, timeout)
