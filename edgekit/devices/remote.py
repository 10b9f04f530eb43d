"""A Unix system behind a link: files kept by their hash, programs that outlive a broken connection, nothing left behind.

On the device everything of ours is in one folder: ``files/`` (kept by hash until `edgekit device clean`), ``work/`` (a folder
per program, gone when it has ended), ``restore.sh`` (what undoes a preparation; there only while the device is prepared, or
where the undoing has failed) and ``owner`` (which edgekit has prepared it: another computer's may, and then this one's conditions
are gone).
"""

from __future__ import annotations

import logging
import re
import secrets
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from edgekit.cache.store import content_sha256, content_size, file_sha256, temporary_folder
from edgekit.devices.base import Completed, Identity
from edgekit.devices.cpus import clock_rung, large_core, parse_cpu_list, parse_speeds
from edgekit.devices.link import Link
from edgekit.devices.profile import DeviceProfile
from edgekit.devices.scripts import BORN, END, FULL, GOVERNORS, INNER, POLL, SPEEDS, START, TEMPERATURES, UNDO, WRITE
from edgekit.devices.thermal import parse_zones, thermal_state
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners.bundle import capsule_for, command

COMMAND_SECONDS = 15.0
"""Time limit of a short command."""
SLOWEST_LINK = 100_000
"""Bytes a second: a link that is slower than this for a whole file is as good as broken."""
RECONNECT_SECONDS = 30.0
"""How long a broken link is tried again while a program runs."""
POLL_SECONDS = (0.1, 1.0)
"""Between two looks whether a program has ended: first, and at most."""
SPARE_BYTES = 20_000_000
"""What must stay free on the device after a push."""
FULL_BYTES = 1_000_000
"""A device with less is full, also where a failed file's length says that all of it has come: blocks are written later."""
FOLDER = "edgekit-device"
"""What edgekit's folder on a device is called; not as programs, clones and caches of people who use edgekit there."""
LOGGER = logging.getLogger(__name__)
LOST = {FailureKind.link_lost, FailureKind.offline, FailureKind.timed_out}
"""How a command of ours may fail that can be tried again: timed_out tells a device that answers, but late."""


class RemoteDevice(ABC):
    """What an Android phone and a Linux board have in common; the subclasses know how to ask the system who it is."""

    # What not every Unix system calls the same.
    detach = "setsid "
    sha256 = "sha256sum"
    boot_id = "cat /proc/sys/kernel/random/boot_id"

    def __init__(self, profile: DeviceProfile, link: Link, root: str) -> None:
        # Never a folder that the user named itself: all that is in ours goes with it.
        root = f"{profile.folder.rstrip('/')}/{FOLDER}" if profile.folder else root
        if not re.fullmatch(r"/[\w./+@-]+", root):
            message = f"{profile.name} would keep edgekit's files in {root!r}, whose name a shell may take for something else."
            raise EdgekitError(
                FailureKind.usage, "reach", message, "Name a plain folder there: `folder` in the profile."
            )
        self.profile, self.link, self.root = profile, link, root
        self.prepared = False
        self.refused: list[str] = []  # what of the preparation the device does not allow
        self._owner = self._boot_id = ""  # since it was prepared
        # Folders in work/ of programs that run, or that could not be ended for want of a link.
        self._unended: set[str] = set()
        self.machine = self.check("uname -m").strip()

    # Who and how it is.

    @abstractmethod
    def identify(self) -> Identity:
        """Return who the device is."""

    def state(self) -> dict[str, Any]:
        """Return load, memory, temperature and clocks as they are now."""
        load, _, memory = self.check("cat /proc/loadavg; grep MemAvailable /proc/meminfo; true").partition("\n")
        available = memory.split()
        return {
            "load_average": float(load.split()[0]),
            "memory_available_kb": int(available[1]) if len(available) > 1 else "unknown",
            **thermal_state(parse_zones(self.check(TEMPERATURES))),
            "clock_rung": clock_rung(self.check(GOVERNORS).split()),
            **({"not_prepared": self.refused} if self.refused else {}),
        }

    def timing_cpu(self) -> int | None:
        """Return the last allowed CPU of the fastest cluster; of all CPUs where the device does not tell their speeds."""
        allowed = parse_cpu_list(self.check("grep Cpus_allowed_list /proc/self/status").split()[-1])
        return large_core(allowed, self.speeds())

    def speeds(self) -> dict[int, dict[str, int]]:
        """Return CPU -> file of SPEED_FILES -> value; empty if the device reports neither."""
        return parse_speeds(self.check(SPEEDS).splitlines())

    # Prepare and restore.

    def preparation(self) -> list[tuple[str, str]]:
        """Return what to do before measuring, as pairs of commands of one line: one that does and one that undoes it."""
        return []

    def prepare(self) -> None:
        """Undo what a killed edgekit left, then do what :meth:`preparation` says; how to undo it is on the device before.

        What the device refuses is left out, told, and part of its state. EdgekitError where the undoing fails: how the device was
        found would be forgotten with the next preparation.
        """
        self.restore()
        pairs = self.preparation()
        self._owner, self.refused = secrets.token_hex(6), []
        self._boot_id = self.check(f"mkdir -p {self.root} && {self.boot_id}").strip()
        self._write("owner", self._owner)
        self._write_down([undo for _, undo in pairs])
        self.prepared = True  # also where not all of it is done
        done = []
        for do, undo in pairs:
            answer = self.link.shell(do, COMMAND_SECONDS)
            if answer.exit_status:
                self.refused.append(f"`{do}`: {reason(f'{answer.stdout} {answer.stderr}'.strip())}")
                LOGGER.warning("%s is measured without what it refuses: %s", self.profile.name, self.refused[-1])
            else:
                done.append(undo)
        if self.refused:
            self._write_down(done)

    def _write_down(self, undos: Sequence[str]) -> None:
        """Have the device keep how its preparation is undone, the last first."""
        if undos:
            self._write("restore.sh", "\n".join(reversed(undos)))
        else:
            self.check(f"rm -f {self.root}/restore.sh")

    def _write(self, name: str, text: str) -> None:
        self.check(WRITE.format(root=self.root, name=name, text=shlex.quote(text), full=FULL))

    def restore(self) -> bool:
        """End programs and undo the preparation that an edgekit left, this one or one that was killed; say whether any was.

        EdgekitError (``crashed``) names the commands that failed to undo something; the next call tries them again.
        """
        ended = self._end("*")
        undone = self._undo()
        self.check(f"rm -f {self.root}/owner")
        self.prepared = False
        return ended or undone

    def _undo(self) -> bool:
        done = self.link.shell(UNDO.format(root=self.root), COMMAND_SECONDS)
        if done.exit_status:
            message = f"{self.profile.name} is not as it was found: {(done.stdout + done.stderr).strip()}"
            hint = (
                f"Run: edgekit device restore {self.profile.name}. Where that does not help, undo it by hand and "
                f"remove {self.root}/restore.sh there."
            )
            raise EdgekitError(FailureKind.crashed, "restore", message, hint, retriable=True)
        return "undone" in done.stdout

    def _end(self, which: str) -> bool:
        """End the programs of folders in work/ and remove these; say whether any program was still running."""
        end = END.format(root=self.root, which=which, boot_id=self.boot_id, born=BORN.format(pid='"$pid"'))
        return "ended" in self.check(end)

    def clean(self) -> None:
        """Remove everything of ours: programs, files, the folder itself."""
        self.restore()
        self.check(f"rm -rf {self.root}")

    def release(self) -> None:
        """Restore the device, unless another edgekit has it by now, and end the connection.

        Where that fails it is logged, for what was measured is measured: the next edgekit restores the device, or says why not.
        """
        try:
            if self.prepared and self.check(f"cat {self.root}/owner 2> /dev/null; true").strip() == self._owner:
                self.restore()
        except EdgekitError as error:
            name, told = self.profile.name, f"{error.failure.message} {error.failure.hint}".strip()
            LOGGER.warning("%s is left as it was prepared: %s Then: edgekit device restore %s", name, told, name)
        finally:
            self.link.close()

    # Files.

    def push(self, local: Path) -> str:
        """Bring a file or folder to the device, under its hash; what is there and whole already is not sent."""
        remote = f"{self.root}/files/{content_sha256(local)[:16]}-{local.name}"
        places = {remote: local}
        if local.is_dir():
            inner = sorted(path for path in local.rglob("*") if path.is_file())
            places = {f"{remote}/{path.relative_to(local).as_posix()}": path for path in inner}
        there = self._hashes(list(places))
        missing = {place: path for place, path in places.items() if there.get(place) != file_sha256(path)}
        if missing:
            self._check_space(sum(content_size(path) for path in missing.values()), local.name)
        for place, path in missing.items():
            self._send(path, place)
        return remote

    def pull(self, remote: str, local: Path) -> None:
        """Bring a file from the device, and compare its hash with the device's."""
        size = self.check(f"wc -c < {shlex.quote(remote)}")
        self.link.fetch(remote, local, _seconds(int(size)))
        expected = self._hashes([remote]).get(remote)
        if file_sha256(local) != expected:
            hashes = f"SHA-256 {file_sha256(local)[:12]}, not {str(expected)[:12]}"
            message = f"{remote} on {self.profile.name} arrived changed: {hashes}."
            raise EdgekitError(FailureKind.hash_mismatch, "pull", message, retriable=True)

    def scratch(self, name: str) -> str:
        """Return a path in ``work/``, which :meth:`restore` empties."""
        folder = f"{self.root}/work/scratch"
        self.check(f"mkdir -p {folder}")
        return f"{folder}/{name}"

    def runner(self, backend: str) -> Sequence[str]:
        """Return the command of edgekit's own runner for this machine, brought to the device."""
        return command(self._capsule, self.machine, backend)

    @cached_property
    def _capsule(self) -> str:
        return self.push(capsule_for(self.machine))

    # Programs.

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program apart from the connection: where that breaks, it is made anew and the program is found again.

        EdgekitError: ``timed_out`` after `timeout` seconds, ``link_lost`` where there is no way back to the device in time,
        ``rebooted`` (since it was prepared), ``device_busy`` where another edgekit has prepared it meanwhile, ``disk_full``,
        ``out_of_memory`` where the program vanished without an exit status. In each case the program is ended as soon as the
        device can be reached.
        """
        name = secrets.token_hex(6)
        work = f"{self.root}/work/{name}"
        born = BORN.format(pid="$$")
        inner = INNER.format(program=shlex.join(arguments), boot_id=self.boot_id, born=born)
        places = {"root": self.root, "owner": self._owner, "name": name, "full": FULL}
        start = START.format(**places, inner=shlex.quote(inner), detach=self.detach, boot_id=self.boot_id)
        deadline = time.monotonic() + timeout
        self._end_programs()
        with self._ended(work):
            boot_id = self._patiently(start, deadline).strip()
            if boot_id == "taken":
                self._taken()
            if self.prepared and boot_id != self._boot_id:
                self._rebooted()
            status = self._wait(work, boot_id, deadline, arguments, timeout)
            return Completed(status, self._text(f"{work}/out"), self._text(f"{work}/err"))

    def _wait(self, work: str, boot_id: str, deadline: float, arguments: Sequence[str], timeout: float) -> int:
        pause = POLL_SECONDS[0]
        while True:
            words = self._patiently(POLL.format(work=work, boot_id=self.boot_id), deadline).split()
            if words[:1] != [boot_id]:
                self._rebooted()
            if words[1] == "taken":
                self._taken()
            name = f"{_program(arguments)} on {self.profile.name}"
            if words[1] == "full":
                raise self._disk_full(self._free() or 0, f"no status of {name} could be written", "measure")
            if words[1] not in {"running", "gone"}:
                return int(words[1])
            if words[1] == "gone":
                # Nobody but the system ends both, and what it ends programs for is memory.
                message = f"{name} vanished without an exit status: the system killed it and what watched it."
                raise EdgekitError(FailureKind.out_of_memory, "measure", message, retriable=True)
            if time.monotonic() > deadline:
                message = f"{name} ran for more than {timeout:.0f} s and was killed."
                raise EdgekitError(FailureKind.timed_out, "measure", message, retriable=True)
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS[1])

    def _patiently(self, command: str, deadline: float) -> str:
        """Run a command; where the link is broken, make it anew until the deadline, or for RECONNECT_SECONDS."""
        until = min(deadline, time.monotonic() + RECONNECT_SECONDS)
        while True:
            try:
                return self.check(command)
            except EdgekitError as error:
                if error.failure.kind not in LOST:
                    raise
                if time.monotonic() > until:
                    message = f"{self.profile.name} was lost while a program ran: {error.failure.message}"
                    raise EdgekitError(
                        FailureKind.link_lost,
                        "measure",
                        message,
                        "Check the cable or the network; the next edgekit restores the device.",
                        retriable=True,
                    ) from error
                time.sleep(POLL_SECONDS[1])
                with suppress(EdgekitError):
                    self.link.connect()

    def _rebooted(self) -> NoReturn:
        """Prepare again what the reboot undid, and say so: EdgekitError (``rebooted``)."""
        prepared, self.prepared = self.prepared, False
        if prepared:
            self.prepare()
        raise EdgekitError(
            FailureKind.rebooted, "measure", f"{self.profile.name} rebooted while a program ran.", retriable=True
        )

    def _taken(self) -> NoReturn:
        """Leave the device to whom it belongs now: EdgekitError (``device_busy``)."""
        self.prepared = False
        message = f"Another edgekit has taken {self.profile.name} over, or restored it, since this one prepared it."
        raise EdgekitError(
            FailureKind.device_busy, "measure", message, "Let one computer at a time use it.", retriable=True
        )

    @contextmanager
    def _ended(self, work: str) -> Iterator[None]:
        """End a program and remove its folder, however this ends; of a device that is out of reach before the next program.

        An unfinished file is in such a folder too, without a program.
        """
        self._unended.add(work.rpartition("/")[2])
        try:
            yield
        finally:
            with suppress(EdgekitError):
                self._end_programs()

    def _end_programs(self) -> None:
        if self._unended:
            self._end(" ".join(sorted(self._unended)))
            self._unended.clear()

    # The shell.

    def check(self, command: str, timeout: float | None = None) -> str:
        """Return what a command prints that is over within COMMAND_SECONDS, or `timeout`.

        EdgekitError: ``crashed`` where it fails, ``disk_full`` where the device has no room for what it writes.
        """
        done = self.link.shell(command, COMMAND_SECONDS if timeout is None else timeout)
        if done.exit_status:
            said = f"{done.stdout}\n{done.stderr}".strip()
            asked = command.splitlines()[0][:80]
            message = f"{self.profile.name} answered with status {done.exit_status} to `{asked}`: {reason(said)}"
            kind = FailureKind.disk_full if "No space left" in said else FailureKind.crashed
            where = f"See whether edgekit may write to {self.root}; another place is `folder` in the profile."
            hint = where if asked.startswith("mkdir") else ""
            raise EdgekitError(kind, "device", message, hint, retriable=True)
        return done.stdout

    def _text(self, remote: str) -> str:
        with temporary_folder() as folder:
            local = Path(folder) / "text"
            self.link.fetch(remote, local, COMMAND_SECONDS)
            return local.read_text(errors="replace")

    def _hashes(self, remotes: Sequence[str]) -> dict[str, str]:
        """Return path -> SHA-256 of those files that are there."""
        said = self.check(f"{self.sha256} {shlex.join(remotes)} 2> /dev/null; true", timeout=4 * COMMAND_SECONDS)
        pairs = (line.split(maxsplit=1) for line in said.splitlines())
        return {pair[1].lstrip("*"): pair[0] for pair in pairs if len(pair) == 2}

    def _check_space(self, size: int, name: str) -> None:
        self.check(f"mkdir -p {self.root}/files")
        free = self._free()
        if free is not None and free < size + SPARE_BYTES:
            raise self._disk_full(
                free, f"{name} needs {size / 1e6:.0f} MB, and {SPARE_BYTES / 1e6:.0f} MB are to stay free"
            )

    def _free(self) -> int | None:
        """Return the bytes that are free where our folder is; None where the device does not tell."""
        told = self.check(f"df -kP {self.root} | tail -n 1").split()
        return int(told[-3]) * 1024 if len(told) >= 5 and told[-3].isdigit() else None

    def _disk_full(self, free: int, why: str, stage: str = "push") -> EdgekitError:
        message = f"{self.profile.name} has {free / 1e6:.0f} MB free: {why}."
        hint = f"Make room, or remove edgekit's files: edgekit device clean {self.profile.name}"
        return EdgekitError(FailureKind.disk_full, stage, message, hint, retriable=True)

    def _send(self, path: Path, remote: str) -> None:
        """Send one file, check its hash there, and give it its name; what has come of a file that fails is removed."""
        work = f"{self.root}/work/{secrets.token_hex(6)}"
        unfinished = f"{work}/unfinished"
        with self._ended(work), self._full_disk_told(path, unfinished):
            self.check(f"mkdir -p {work} {shlex.quote(remote.rpartition('/')[0])}")
            self.link.send(path, unfinished, _seconds(path.stat().st_size))
            arrived, expected = self._hashes([unfinished]).get(unfinished), file_sha256(path)
            if arrived != expected:
                hashes = f"SHA-256 {str(arrived)[:12]}, not {expected[:12]}"
                message = f"{path.name} arrived on {self.profile.name} changed: {hashes}."
                raise EdgekitError(FailureKind.hash_mismatch, "push", message, retriable=True)
            executable = "chmod 755" if path.stat().st_mode & 0o100 else "chmod 644"
            self.check(f"{executable} {unfinished} && mv {unfinished} {shlex.quote(remote)}")

    @contextmanager
    def _full_disk_told(self, path: Path, unfinished: str) -> Iterator[None]:
        """Tell a file that failed for want of room from other failures: neither adb nor SFTP says why."""
        try:
            yield
        except EdgekitError as error:
            free, missing = self._room_for_rest(path.stat().st_size, unfinished)
            if free is not None and free < max(missing, FULL_BYTES):
                why = f"it became full, and {missing / 1e6:.1f} MB of {path.name} had no room"
                raise self._disk_full(free, why) from error
            raise

    def _room_for_rest(self, size: int, unfinished: str) -> tuple[int | None, int]:
        """Return the bytes that are free, None also of a device that is out of reach, and how many of a file are not there."""
        try:
            arrived = int(self.check(f"{{ wc -c < {unfinished}; }} 2> /dev/null || echo 0"))
            return self._free(), size - arrived
        except EdgekitError as error:
            if error.failure.kind not in LOST:
                raise
            return None, size


def reason(said: str) -> str:
    """Return what of a failed command's words says why: its lines that begin with "error", else its end.

    The last warning before them is kept as well: of a device without internet pip says in warnings only what went wrong.
    """
    lines = said.splitlines()
    errors = [index for index, line in enumerate(lines) if line.lower().startswith("error")]
    if not errors:
        return said[-600:]
    warnings = [line for line in lines[: errors[0]] if line.lower().startswith("warning")]
    return "\n".join([line[:400] for line in warnings[-1:]] + [lines[index][:300] for index in errors[-3:]])


def _program(arguments: Sequence[str]) -> str:
    """Return the name of what a command runs; the capsule's loader stands before its runners."""
    loaded = tuple(arguments[1:2]) == ("--library-path",)
    return Path(arguments[3] if loaded else arguments[0]).name


def _seconds(size: int) -> float:
    """Return the time limit of a transfer."""
    return COMMAND_SECONDS + size / SLOWEST_LINK
