"""A Mac as far as Linux can be one: a board whose shell has macOS's and Xcode's commands, and phones that are folders.

What Apple's own programs would answer, the scripts in ``macos/`` do; coremltools between them and edgekit is the real one, but
for the parts of it that only its macOS package has.
"""

from __future__ import annotations

import json
from pathlib import Path

import edgekit

from .board import USER_ID, BoardLab, python_places

COMMANDS = Path(__file__).with_name("macos")


def phone(udid: str, name: str = "Lab Phone", state: str = "connected") -> dict[str, object]:
    """Return a phone as devicectl lists it."""
    return {
        "identifier": f"ID-{udid}",
        "connectionProperties": {"tunnelState": state},
        "deviceProperties": {
            "name": name,
            "osVersionNumber": "18.1",
            "osBuildUpdate": "22B83",
            "developerModeStatus": "enabled",
        },
        "hardwareProperties": {
            "udid": udid,
            "deviceType": "iPhone",
            "marketingName": "iPhone 15 Pro",
            "productType": "iPhone16,1",
            "cpuType": {"name": "arm64e"},
        },
    }


class MacLab(BoardLab):
    """The Mac; its environment with coremltools is there already."""

    @property
    def root(self) -> str:
        """Where edgekit keeps what it has there."""
        return f"{self.disk}/Library/Caches/edgekit-device"

    def attach(self, *phones: dict[str, object]) -> None:
        """Be attached to these phones and no others."""
        self.write(f"{self.disk}/phones.json", json.dumps(phones), owner=USER_ID)

    def _binds(self) -> list[list[str]]:
        # The stand-in of the phone's app computes with edgekit's reference; a checkout in /tmp is not seen there by itself.
        package = str(Path(edgekit.__file__).parent)
        return [*super()._binds(), [package, package, "ro"]]

    def _furnish(self) -> None:
        super()._furnish()
        for command in COMMANDS.iterdir():
            self.write(f"/usr/local/bin/{command.name}", command.read_text(), mode=0o755)
        self.attach()
        self._give_coremltools()
        self.run(f"chown -R {USER_ID}:{USER_ID} {self.disk}")

    def _give_coremltools(self) -> None:
        """Make an environment whose coremltools has the Xcode workspace that its macOS package has."""
        (real,) = Path(python_places()[0]).glob("lib/python3.*/site-packages/coremltools")
        package = f"{self.root}/venv/lib/coremltools"
        self.run(f"mkdir -p {package}/modelrunner/ModelRunner.xcworkspace && ln -s {real}/* {package}/")
        python = f'#!/bin/sh\nPYTHONPATH={self.root}/venv/lib exec python3 "$@"\n'
        self.write(f"{self.root}/venv/bin/python", python, mode=0o755)
        self.write(f"{self.root}/venv/edgekit-installed", "")
