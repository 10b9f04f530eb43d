"""`make lab`: a phone, an adb server and two boards on this machine to play with, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from ruamel.yaml import YAML

from . import roots
from .adb_server import AdbServerLab
from .android import AndroidLab
from .board import BoardLab
from .machine import Machine


def main() -> None:
    arm64 = not roots.lacking("android-arm64", "qemu")
    if reason := roots.lacking(*(() if arm64 else ("android-amd64",))):
        sys.exit(f"{reason[0].upper()}{reason[1:]}.")
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)
    with suppress(Ended), ExitStack() as stack:
        phone = stack.enter_context(AndroidLab(arm64=arm64))
        board = stack.enter_context(BoardLab())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-lab-profiles-")))
        _write_profile(folder, "lab-android", "android", phone, "Pixel 3 of the test lab", emulated=arm64)
        _write_profile(
            folder, "lab-board", "linux", board, "Board of the test lab", user=board.user, known_hosts=board.known_hosts
        )
        server = stack.enter_context(AdbServerLab(keys=[phone.key]))
        server.connect(phone)
        home = folder / "home"
        _write_ssh_config(home, board)
        print("Up: lab-android, lab-board, and an adb server that has lab-android. In another shell:\n")
        print(f"  export EDGEKIT_PROFILES={folder} ADB_SERVER_SOCKET={server.socket}")
        print("  .venv/bin/edgekit device list")
        print("  .venv/bin/edgekit device check lab-android")
        print(
            "  .venv/bin/edgekit deploy recipes/v3_small.yaml --device lab-android --target tflite/fp32 # by the server"
        )
        print("    and directly: the same with --device-option connection=tcp")
        print("  A second board, behind lab-board as its jump host, by an alias of an ssh configuration:")
        print(f"  HOME={home} .venv/bin/edgekit device add lab-inner --host lab-inner")
        print(f"  HOME={home} .venv/bin/edgekit device check lab-inner\n")
        print("Ctrl-C stops all.", flush=True)
        stack.callback(print, "\nStopping all.", flush=True)
        signal.pause()
    print("Stopped: nothing of them is left.")


class Ended(Exception):
    """Ctrl-C, or what else ends a program."""


def _end(*_: object) -> None:
    raise Ended


def _write_ssh_config(home: Path, board: BoardLab) -> None:
    """Write an ssh configuration with the alias lab-inner: a daemon that only the board itself reaches."""
    config = home / ".ssh" / "config"
    config.parent.mkdir(mode=0o700, parents=True)
    config.write_text(
        f"Host lab-inner\n  HostName 127.0.0.1\n  Port {board.start_inner()}\n  ProxyJump lab-jump\n"
        f"Host lab-jump\n  HostName {board.host}\n  Port {board.port}\n"
        f"Host lab-*\n  User {board.user}\n  IdentityFile {board.key}\n  UserKnownHostsFile {board.known_hosts}\n"
    )


def _write_profile(
    folder: Path, name: str, kind: str, device: Machine, what: str, *, emulated: bool = False, **more: object
) -> None:
    profile = {
        "name": name,
        "description": f"{what}{', arm64 by qemu: its times mean nothing' if emulated else ''}",
        "kind": kind,
        "runs": ["tflite", "executorch"],
        **({"protocol": "emulated", "emulated": True} if emulated else {}),
        "host": device.host,
        "port": device.port,
        "key": str(device.key),
        **{field: str(value) for field, value in more.items()},
    }
    YAML().dump(profile, folder / f"{name}.yaml")


if __name__ == "__main__":
    main()
