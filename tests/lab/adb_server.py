"""An adb server of the lab's own: a real one, on a free port of 127.0.0.1, with its keys and logs in a folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from .errors import LabError

DEBIANS = "adb"
NEWER = str(files("adbutils") / "binaries" / "adb")
"""Another version of the program, in the package adbutils. edgekit itself never starts it."""


class AdbServerLab:
    """An adb server: `with` starts it. `program` is which one, `keys` the private keys by which phones know it.

    It looks for no emulators and asks no network: its only devices are those that `connect` adds.
    """

    host = "127.0.0.1"

    def __init__(self, program: str = DEBIANS, *, keys: Sequence[Path] = ()) -> None:
        self.program, self.keys = program, keys
        self.folder = Path(tempfile.mkdtemp(prefix="edgekit-lab-adb-"))
        with socket.create_server((self.host, 0)) as listening:
            self.port = listening.getsockname()[1]
        self._process: subprocess.Popen | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(signal.SIGTERM)

    @property
    def socket(self) -> str:
        """The value of ADB_SERVER_SOCKET."""
        return f"tcp:{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the server."""
        keys = {"ADB_VENDOR_KEYS": ":".join(map(str, self.keys))} if self.keys else {}
        quiet = {"ADB_MDNS": "0", "ADB_MDNS_AUTO_CONNECT": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "0"}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder), **keys, **quiet}

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, "-L", f"tcp:{self.port}", "nodaemon", "server"],  # without -a: on 127.0.0.1 only
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise LabError(f"the adb server did not come up: {(self.folder / 'log').read_text()}")

    @property
    def pid(self) -> int | None:
        """The process that `start` made; None if it has ended."""
        return self._process.pid if self.is_running() else None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server by a signal."""
        if self._process:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def is_running(self) -> bool:
        """Whether the process that `start` made is still there: another server may have taken its port."""
        return self._process is not None and self._process.poll() is None

    def command(self, *arguments: str) -> str:
        """Run an adb client against the server, and return what it prints."""
        command = [self.program, "-L", self.socket, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise LabError(f"adb {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def connect(self, phone, *, wait: bool = True) -> str:
        """Have the server connect to a phone of the lab; return the phone's name in its list. `wait` until it is ready."""
        name = f"{phone.host}:{phone.port}"
        self.command("connect", name)
        if wait:
            self.command("-s", name, "wait-for-device")
        return name

    def states(self) -> dict[str, str]:
        """Return device -> state, as ``adb devices`` lists them."""
        return dict(line.split("\t") for line in self.command("devices").splitlines() if "\t" in line)
