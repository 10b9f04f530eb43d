"""`make lab`: a phone and a board on this machine to play with, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from ruamel.yaml import YAML

from . import roots
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
        print("Up: lab-android and lab-board. In another shell:\n")
        print(f"  export EDGEKIT_PROFILES={folder}")
        print("  .venv/bin/edgekit device check lab-android\n")
        print("Ctrl-C stops both.", flush=True)
        stack.callback(print, "\nStopping both.", flush=True)
        signal.pause()
    print("Stopped: nothing of them is left.")


class Ended(Exception):
    """Ctrl-C, or what else ends a program."""


def _end(*_: object) -> None:
    raise Ended


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
