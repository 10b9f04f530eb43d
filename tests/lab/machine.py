"""What lab devices have in common: namespaces of their own, a link that can be cut, and the ways in which they fail."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from . import emulator
from .errors import LabError
from .link import Link
from .scenario import Cluster, write_cpus

INIT = Path(__file__).with_name("init.py")
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
LISTENING = "0A"  # the state's number in /proc/net/tcp
MEGABYTE = 1 << 20


class Machine:
    """A device in PID, mount and network namespaces of its own: `with` starts it, and nothing of it is left after.

    It has no way to the network: 127.0.0.1 of its namespace is all it has, and `link` carries a port of this machine's
    127.0.0.1 to its daemon's. So nothing that a test sends can leave this machine, also not when the device is gone.
    """

    host = "127.0.0.1"
    search_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    daemon: str  # what tells the daemon's processes from others: a pattern for their command lines
    daemon_port = 2222  # inside, where it is always free
    disk: str  # the folder of limited size

    def __init__(
        self, lower: Path, *, cpus: tuple[Cluster, ...] = (), arm64: bool = False, disk_bytes: int = 256 * MEGABYTE
    ) -> None:
        self.arm64 = arm64
        self.cpus = cpus
        self.disk_bytes = disk_bytes
        self._lower = lower
        self._init: subprocess.Popen | None = None
        self._daemon: subprocess.Popen | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def patience(self) -> float:
        """Seconds in which it must come up."""
        return 30 if self.arm64 else 10

    @property
    def port(self) -> int:
        """Where `host` leads to the device's daemon."""
        return self.link.port

    # Life

    def start(self) -> None:
        """Bring the device up; LabError where it does not come."""
        if not self._lower.exists():
            raise LabError(f"{self._lower} is not there: run `make lab-deps`")
        if self.arm64:
            emulator.register()
        self.folder = Path(tempfile.mkdtemp(prefix="edgekit-lab-"))
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._start_namespaces()
            self.link = Link(self.pid, self.daemon_port)
            self._furnish()
            self.restart()
            undo.pop_all()

    def stop(self) -> None:
        """End all processes of the device, and with them its namespaces and mounts."""
        if link := getattr(self, "link", None):
            link.close()
        if self._init:
            self._init.stdin.close()
            _end(self._init)
            self._init.stdout.close()
        if self._daemon:
            _end(self._daemon)
        self._init = self._daemon = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_namespaces(self) -> None:
        base = self.folder / "mount"
        base.mkdir()
        self._new_boot()
        spec = {
            "base": str(base),
            "lower": str(self._lower),
            "disks": {self.disk: self.disk_bytes},
            "binds": [[str(self.folder / "boot_id"), "/proc/sys/kernel/random/boot_id", "ro"], *self._binds()],
        }
        log = self.folder / "init.log"
        with log.open("wb") as errors:
            self._init = subprocess.Popen(
                ["unshare", *NAMESPACES, sys.executable, "-IS", INIT, json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,  # else the second line may wait where select does not see it
                start_new_session=True,  # Ctrl-C is for the lab, which ends the device in its order
            )
        said = []
        while len(said) < 2:
            ready, _, _ = select.select([self._init.stdout], [], [], self.patience)
            line = self._init.stdout.readline().decode().strip() if ready else ""
            if not line:
                raise LabError(f"the device's namespaces did not come up: {log.read_text().strip()}")
            said.append(line)
        self.pid = int(said[0])

    def _binds(self) -> list[list[str]]:
        """Return (from, to on the device, "ro" or "rw") of what is mounted over its files."""
        if not self.cpus:
            return []
        write_cpus(self.folder / "cpus", self.cpus)
        return [[str(self.folder / "cpus"), "/sys/devices/system/cpu", "rw"]]

    def _furnish(self) -> None:
        """Put files on the device before its daemon starts."""

    def _daemon_command(self) -> list[str]:
        """Return the nsenter command that starts the daemon; descriptors 0 to 2 and `_daemon_files` are passed on."""
        raise NotImplementedError

    def _daemon_files(self) -> tuple[int, ...]:
        return ()

    def restart(self) -> None:
        """Start the daemon, after ending it if it runs."""
        self.kill_daemon()
        command, files = self._daemon_command(), self._daemon_files()
        with (self.folder / "daemon.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=files, start_new_session=True
            )
        self._wait_for_daemon()

    def _wait_for_daemon(self) -> None:
        deadline = time.monotonic() + self.patience
        while not self._listens():
            if time.monotonic() > deadline or self._daemon.poll() is not None:
                raise LabError(f"the daemon did not come up: {self.log()}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        """Whether somebody listens on the daemon's port; asked without a connection, which it would note."""
        tables = (Path(f"/proc/{self.pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
        sockets = [line.split() for table in tables for line in table.splitlines()]
        return any(words[1].endswith(f":{self.daemon_port:04X}") and words[3] == LISTENING for words in sockets)

    # What the device has

    def enter(self, *command: str, user: int = 0, environment: dict[str, str] | None = None) -> list[str]:
        """Return the command that runs another on the device, as `user`; for subprocess."""
        variables = {"PATH": self.search_path, "HOME": "/", **(environment or {})}
        return [
            "nsenter",
            f"--target={self.pid}",
            *NAMESPACES,
            "--root",
            "--wd",
            f"--setgid={user}",
            f"--setuid={user}",
            "/usr/bin/env",
            "-i",
            *(f"{name}={value}" for name, value in variables.items()),
            *command,
        ]

    def run(self, script: str, *, user: int = 0, check: bool = True, timeout: float = 30) -> str:
        """Run a line of shell on the device, without its daemon and its link, and return what it prints."""
        command = self.enter("/bin/sh", "-c", script, user=user)
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise LabError(f"{script!r} ended with {done.returncode} on the device: {done.stderr.strip()}")
        return done.stdout

    def path(self, inside: str) -> Path:
        """Return where this process reads and writes a file of the device; LabError where a link leads out of it."""
        path = Path(f"/proc/{self.pid}/root")
        for part in Path(inside).parts:
            path /= part.lstrip("/")
            # This process would follow an absolute link from its own root, and write over this machine's files.
            if path.is_symlink() and str(path.readlink()).startswith("/") and part != "/":
                raise LabError(f"{inside} on the device leads to {path.readlink()}")
        return path

    def write(self, inside: str, text: str, *, mode: int = 0o644, owner: int = 0) -> None:
        """Write a file on the device, with its folders; a link there is replaced."""
        folder, _, name = inside.rpartition("/")
        file = self.path(folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_symlink():
            file.unlink()
        file.write_text(text)
        file.chmod(mode)
        os.chown(file, owner, owner)

    def files(self, folder: str) -> list[str]:
        """Return all files and folders below a folder of the device, by their path from there."""
        top = self.path(folder)
        return sorted(str(file.relative_to(top)) for file in top.rglob("*"))

    def processes(self) -> list[str]:
        """Return the command lines of what runs on the device, without the daemon."""
        lines = [_command_line(pid) for pid in self._pids()]
        return [line for line in lines if line and not re.search(self.daemon, line)]

    def left_running(self, seconds: float = 2.0) -> list[str]:
        """Return what still runs after so long: a client hears of a command's end before the process is gone."""
        deadline = time.monotonic() + seconds
        while (running := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return running

    def boot_id(self) -> str:
        """Return what tells one boot from the next."""
        return (self.folder / "boot_id").read_text().strip()

    def log(self) -> str:
        """Return what the daemon wrote."""
        file = self.folder / "daemon.log"
        return file.read_text(errors="replace") if file.exists() else ""

    # Faults

    def cut_link(self) -> None:
        """Pull the cable: connections stay open and silent."""
        self.link.cut()

    def restore_link(self) -> None:
        """Plug it in again."""
        self.link.restore()

    def kill_daemon(self) -> None:
        """Kill the daemon alone; what it started goes on."""
        for pid in self._pids():
            if re.search(self.daemon, _command_line(pid)):
                _kill(pid)
        if self._daemon:
            _end(self._daemon)
            self._daemon = None

    def reboot(self, seconds: float = 0.5) -> None:
        """Lose the link, end every process, stay away so long, and come up with another boot id."""
        self.link.cut()
        while pids := self._pids():
            for pid in pids:
                _kill(pid)
            time.sleep(0.01)
        if self._daemon:
            _end(self._daemon)
            self._daemon = None
        self._new_boot()
        self._forget()
        time.sleep(seconds)
        self.link.drop()
        self.restart()
        self.link.restore()

    def _new_boot(self) -> None:
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")

    def _forget(self) -> None:
        """Undo what does not survive a reboot."""

    def fill_disk(self, leave: int = 0) -> None:
        """Leave so many bytes free where the device keeps its files."""
        disk = self.path(self.disk)
        space = os.statvfs(disk)
        with (disk / ".filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, max(space.f_bavail * space.f_frsize - leave, 1))

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        (self.path(self.disk) / ".filler").unlink(missing_ok=True)

    def kill_low_memory(self, pattern: str) -> int:
        """Kill the processes whose command line matches, as a system short of memory does; return how many."""
        victims = [pid for pid in self._pids() if re.search(pattern, _command_line(pid))]
        for pid in victims:
            _kill(pid)
        return len(victims)

    def clock_cpu(self, cpu: int, khz: int) -> None:
        """Set the frequency that one of the device's own `cpus` shows, as a hot processor lowers it."""
        (self.folder / f"cpus/cpu{cpu}/cpufreq/scaling_cur_freq").write_text(f"{khz}\n")

    def jump_clock(self, seconds: int) -> None:
        """Set the clock that the device's `date` shows; other programs go on seeing this machine's."""
        self.write("/lab/clock", f"{seconds}\n")

    def _pids(self) -> list[int]:
        """Return this machine's numbers of the device's processes, without the first."""
        namespace = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        pids = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != self.pid:
                try:
                    if (entry / "ns/pid").stat().st_ino == namespace:
                        pids.append(int(entry.name))
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue  # it has just ended, or is guarded by this machine, and so none of the device's
        return pids


def _command_line(pid: int) -> str:
    """Return a process's words; empty where it has ended. Of an emulated one, without the emulator."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if words and words[0].endswith("qemu-aarch64"):
        words = words[2:]  # the emulator and the file's path, then the words that it was called with
    return " ".join(words)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has just ended


def _end(process: subprocess.Popen, seconds: float = 5) -> None:
    """Wait for a process to end, and kill it where it does not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
