"""The link to an Android device: it chooses how adb reaches the device, and runs commands there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.devices.adb import way as limits
from edgekit.devices.adb.direct import DirectWay
from edgekit.devices.adb.profile import AdbProfile
from edgekit.devices.adb.server import AdbServer, ServerWay
from edgekit.devices.adb.way import CommandHangsError, Way
from edgekit.devices.base import Completed
from edgekit.devices.link import closed_on_failure
from edgekit.errors import EdgekitError, FailureKind


class AdbLink:
    """adb to one device.

    The way is chosen for each connection. So a server that ends, or starts, between two connections is no obstacle.
    But a server through which the device was reached is used as long as it runs. Another way might ask the device's owner.
    The first connection chooses the device. Later ones reach the same device.
    """

    def __init__(self, profile: AdbProfile) -> None:
        self.profile = profile
        self._way: Way | None = None
        self._last: Way = DirectWay(profile)

    @property
    def where(self) -> str:
        """The way of the last connection and its address, for people."""
        return self._last.where

    @property
    def way(self) -> str:
        """The name of the way: ``adb server``, ``USB`` or ``TCP``."""
        return self._last.name

    def connect(self) -> None:
        """Connect.

        EdgekitError, each with a hint: offline, unauthorized, several_devices, no_permission, device_busy.
        """
        self.close()
        way = self._last = choose(self.profile, stay=self._last.name == ServerWay.name)
        name = way.connect()
        self._way = way
        if name and name != self.profile.serial:
            self.profile = self.profile.model_copy(update={"serial": name})

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command by adb's exec service, which is not a terminal. Both outputs are one. A nonce marks the status.

        EdgekitError (``timed_out``) if only this command hangs: the device still answers another one.
        """
        nonce = f"edgekit-{secrets.token_hex(8)}="
        with self._connected() as way:
            try:
                output = way.output(f"( {command}\n) 2>&1; echo {nonce}$?", timeout)
            except CommandHangsError as error:
                self._check_answers(way)
                raise self._hanging(command, timeout) from error
            text, found, status = output.decode(errors="replace").rpartition(nonce)
            if not found:
                raise self._lost("it ended in the middle of an answer")
        return Completed(int(status), text, "")

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Push a file."""
        with self._connected() as way:
            way.push(local, remote, timeout)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Pull a file."""
        with self._connected() as way:
            way.pull(remote, local, timeout)

    def close(self) -> None:
        """End the connection."""
        way, self._way = self._way, None
        if way is not None:
            way.close()

    @contextmanager
    def _connected(self) -> Iterator[Way]:
        """Connect if there is no connection. Turn a later error into ``link_lost``, and end the connection."""
        if self._way is None:
            self.connect()
        assert self._way
        try:
            with closed_on_failure(self):
                yield self._way
        except EdgekitError as error:
            if error.failure.kind is not FailureKind.offline:
                raise
            lost = error.failure
            raise EdgekitError(FailureKind.link_lost, "device", lost.message, lost.hint, retriable=True) from error

    def _check_answers(self, way: Way) -> None:
        """Raise the error of a lost link if the device does not answer the simplest command either."""
        try:
            way.output("true", limits.ANSWER_SECONDS)
        except CommandHangsError as error:
            raise self._lost("it does not answer") from error

    def _lost(self, why: str) -> EdgekitError:
        message = f"{self.profile.name} cannot be reached over {self.where}: {why}."
        hint = "Check the cable or the network, and that the device is on."
        return EdgekitError(FailureKind.link_lost, "device", message, hint, retriable=True)

    def _hanging(self, command: str, timeout: float) -> EdgekitError:
        message = f"{self.profile.name} was not done after {timeout:.0f} s with `{command.splitlines()[0][:80]}`."
        hint = "It answers other commands, so this one hangs. If it hangs again, restart the phone."
        return EdgekitError(FailureKind.timed_out, "device", message, hint, retriable=True)


def choose(
    profile: AdbProfile, find_server: Callable[[], AdbServer] = AdbServer.configured, *, stay: bool = False
) -> Way:
    """Return the way to the device of a profile, as its `connection` says. `stay`: a server has reached it before."""
    if profile.connection == "usb":
        return DirectWay(profile.model_copy(update={"host": None}))
    if profile.connection == "tcp":
        return DirectWay(profile)
    server = find_server()
    if profile.connection == "server":
        return ServerWay(profile, server)
    through_server = server.has(profile.network_name) if profile.network_name and not stay else server.runs()
    return ServerWay(profile, server) if through_server else DirectWay(profile)
