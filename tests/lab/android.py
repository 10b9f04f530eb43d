"""A phone: Debian's adbd with authentication on, the commands that Android has, and the dialog that asks its owner.

    with AndroidLab() as phone:
        device = AdbDeviceTcp(phone.host, phone.port)
        device.connect(rsa_keys=[phone.signer()], auth_timeout_s=5)
        phone.heat(45)
        device.shell("dumpsys thermalservice")

Its shell and its small tools are Android's own, mksh and toybox. What it lacks: bionic, SELinux, Binder and a GPU; the
processor is this machine's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import time
from pathlib import Path

from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_pythonrsa import PythonRSASigner

from . import roots
from .errors import LabError
from .machine import MEGABYTE, Machine
from .scenario import FORGOTTEN, LASTING, Scenario

PHONE = Path(__file__).with_name("phone")
SHELL_USER = 2000
KEYS = "/data/misc/adb/adb_keys"
SOCKET = "/dev/socket/adbd"
CLOCK = """#!/system/bin/sh
# The device's date: this machine's, as far off as the test set it.
read offset 2>/dev/null </lab/clock || exec toybox date "$@"
exec toybox date -d "@$(($(toybox date +%s) + offset))" "$@"
"""


class AndroidLab(Machine):
    """A phone that knows the key of `signer()` and asks its owner about all others.

    `dialog` is what the owner answers: "allow", "always" (and the key is known from then on), "deny", or "never": nobody
    looks at the phone, which asks about no other key until somebody does. It can be set at any time, which answers a
    question that is still open; `asked` are the keys that were asked about.
    """

    connection = "auto"  # how profiles of the tests reach it
    daemon = "adbd-auth"
    disk = "/data"
    search_path = "/system/bin:/usr/sbin:/usr/bin"

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        arm64: bool = False,
        dialog: str = "deny",
        disk_bytes: int = 256 * MEGABYTE,
    ) -> None:
        self.scenario = scenario or Scenario()
        lower = roots.root("android-arm64" if arm64 else "android-amd64")
        super().__init__(lower, cpus=self.scenario.cpus, arm64=arm64, disk_bytes=disk_bytes)
        abi = {"ro.product.cpu.abi": "arm64-v8a", "ro.boot.qemu": "1"} if arm64 else {"ro.product.cpu.abi": "x86_64"}
        self.scenario = dataclasses.replace(self.scenario, properties={**abi, **self.scenario.properties})
        self.asked: list[str] = []
        self._dialog = dialog
        self._question: tuple[socket.socket, str] | None = None  # whom to answer, and the key

    @property
    def key(self) -> Path:
        """The private key that the phone knows; the public one is beside it as `adbkey.pub`."""
        return self.folder / "adbkey"

    def signer(self) -> PythonRSASigner:
        """Return the known key as adb-shell's `connect` takes it."""
        return PythonRSASigner(Path(f"{self.key}.pub").read_text(), self.key.read_text())

    @property
    def dialog(self) -> str:
        """What the owner answers."""
        return self._dialog

    @dialog.setter
    def dialog(self, answer: str) -> None:
        self._dialog = answer
        with contextlib.suppress(OSError):  # the daemon that asked has ended
            self._answer()

    def authorize(self, public_key: str) -> None:
        """Make a key known, as "always allow from this computer" does."""
        with self.path(KEYS).open("a") as keys:
            keys.write(f"{public_key.strip()}\n")

    def revoke(self) -> None:
        """Forget all keys, as "revoke USB debugging authorisations" does, and restart the daemon."""
        self.path(KEYS).write_text("")
        self.link.drop()
        self.restart()

    # The scenario

    def change(self, **values: object) -> None:
        """Change the scenario, by the names of its fields."""
        self.scenario = dataclasses.replace(self.scenario, **values)
        self.scenario.write(self.path("/lab"), self.daemon_port)

    def set_property(self, name: str, value: str) -> None:
        """Change what getprop answers."""
        self.change(properties={**self.scenario.properties, name: value})

    def heat(self, celsius: float) -> None:
        """Bring the phone's skin to a temperature, and its thermal status with it; cooling is the same."""
        self.change(skin_celsius=celsius, cpu_celsius=celsius + 6, battery_celsius=celsius - 3)

    def state(self) -> dict[str, str]:
        """Return what commands can change: compare before and after to see that the phone was left as found."""
        files = self.path("/lab/state").iterdir()
        return {file.name: file.read_text().strip() for file in files}

    def changes(self) -> list[str]:
        """Return every change of `state()` since the start, in its order, as "name=value"."""
        file = self.path("/lab/changes")
        return file.read_text().splitlines() if file.exists() else []

    # How it comes up

    def _furnish(self) -> None:
        for command in PHONE.iterdir():
            self.write(f"/system/bin/{command.name}", command.read_text(), mode=0o755)
        self.write("/system/bin/date", CLOCK, mode=0o755)
        for folder in ("/lab", "/lab/state", "/data/local", "/data/local/tmp", "/dev/socket", "/data/misc/adb"):
            self.path(folder).mkdir(parents=True, exist_ok=True)
        # The shell user's own places, and what its commands change.
        for folder in ("/lab", "/lab/state", "/data/local/tmp", "/dev/socket"):
            os.chown(self.path(folder), SHELL_USER, SHELL_USER)
        self.scenario.write(self.path("/lab"), self.daemon_port)
        self._set_state({**LASTING, **FORGOTTEN, "wakefulness": "Awake" if self.scenario.awake else "Asleep"})
        self.write("/lab/logcat", "", owner=SHELL_USER)
        keygen(str(self.key))
        self.write(KEYS, f"{Path(f'{self.key}.pub').read_text().strip()}\n", mode=0o640, owner=SHELL_USER)

    def _forget(self) -> None:
        self._set_state({**FORGOTTEN, "wakefulness": "Asleep"})

    def _set_state(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.write(f"/lab/state/{name}", f"{value}\n", owner=SHELL_USER)

    # The daemon, started as Android's init does, with the socket on which it talks to the framework

    def _daemon_command(self) -> list[str]:
        self.path(SOCKET).unlink(missing_ok=True)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.bind(str(self.path(SOCKET)))
        os.chown(self.path(SOCKET), SHELL_USER, SHELL_USER)
        environment = {
            "ANDROID_DATA": "/data",
            "ANDROID_SOCKET_adbd": str(self._control.fileno()),
            "LD_PRELOAD": f"/{roots.SHIM}",
        }
        return self.enter(f"/{roots.ANDROID_PROGRAM}", user=SHELL_USER, environment=environment)

    def _daemon_files(self) -> tuple[int, ...]:
        return (self._control.fileno(),)

    def _wait_for_daemon(self) -> None:
        self._control.close()
        super()._wait_for_daemon()
        deadline = time.monotonic() + self.patience
        framework = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        while True:
            try:
                framework.connect(str(self.path(SOCKET)))
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    framework.close()
                    raise LabError(f"the daemon does not listen to the framework: {self.log()}") from error
                time.sleep(0.02)
        threading.Thread(target=self._play_framework, args=(framework,), daemon=True).start()

    def _play_framework(self, framework: socket.socket) -> None:
        """Answer the daemon's questions about keys ("PK" and the key) as the owner does, until it ends."""
        with framework, contextlib.suppress(OSError):
            while message := framework.recv(1 << 16):
                if not message.startswith(b"PK"):
                    continue  # it also tells of keys that connected and left
                key = message[2:].decode().strip("\0\n")
                self.asked.append(key)
                self._question = framework, key
                self._answer()

    def _answer(self) -> None:
        if self._question is None or self.dialog == "never":
            return
        (framework, key), self._question = self._question, None
        if self.dialog == "always":
            self.authorize(key)
        framework.send(b"NO" if self.dialog == "deny" else b"OK")
