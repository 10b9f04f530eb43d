"""The link to a Linux board: SSH, by paramiko. Host keys are checked, keys and the agent are used, never a password."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices import link
from edgekit.devices.base import Completed
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from paramiko import Channel, SFTPClient, SSHClient

CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 5


class SshLink:
    """SSH to one board. Whoever is not in ``~/.ssh/known_hosts`` or the profile's `known_hosts` is refused."""

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self.port = profile.port or 22
        self.where = f"SSH ({profile.user + '@' if profile.user else ''}{profile.host}:{self.port})"
        self.client: SSHClient | None = None

    def connect(self) -> None:
        """Connect; EdgekitError: offline, unauthorized, untrusted_host, each with what to do."""
        import paramiko

        self.close()
        profile = self.profile
        if not profile.host:
            raise link.without_address(profile)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.load_system_host_keys()
        for key in ("known_hosts", "key"):
            if (file := getattr(profile, key)) and not Path(file).expanduser().is_file():
                hint = f"Correct `{key}` in the profile, or {profile.environment}{key.upper()}."
                raise self._failed(FailureKind.usage, f"there is no file {file}, which is named as its {key}", hint)
        with ExitStack() as undo:
            undo.callback(client.close)
            self._greet(client)
            undo.pop_all()
        transport = client.get_transport()
        assert transport
        transport.set_keepalive(KEEPALIVE_SECONDS)
        self.client = client

    def _greet(self, client: SSHClient) -> None:
        import paramiko

        profile = self.profile
        assert profile.host
        try:
            if profile.known_hosts:
                client.load_system_host_keys(str(Path(profile.known_hosts).expanduser()))
            client.connect(
                profile.host,
                self.port,
                username=profile.user,
                key_filename=str(Path(profile.key).expanduser()) if profile.key else None,
                timeout=CONNECT_SECONDS,
                banner_timeout=CONNECT_SECONDS,
                auth_timeout=CONNECT_SECONDS,
                channel_timeout=CONNECT_SECONDS,
            )
        except paramiko.BadHostKeyException as error:
            hint = "Find out why. If the board was set up anew, remove its old key: ssh-keygen -R HOST"
            raise self._failed(FailureKind.untrusted_host, "its host key is not the one that is known", hint) from error
        except (paramiko.AuthenticationException, paramiko.PasswordRequiredException) as error:
            hint = f"Bring your public key there: ssh-copy-id -p {self.port} {profile.user or 'USER'}@{profile.host}"
            raise self._failed(FailureKind.unauthorized, "it took none of your keys", hint) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if "not found in known_hosts" in str(error):
                hint = f"Connect once by hand and compare the fingerprint: ssh -p {self.port} {profile.host}"
                raise self._failed(FailureKind.untrusted_host, "its host key is not known", hint) from error
            hint = "Check host and port, and that the board is on and listens."
            raise self._failed(FailureKind.offline, str(error) or type(error).__name__, hint) from error

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command in a channel of its own."""
        with self._broken() as client:
            stdin, stdout, _ = client.exec_command(f"exec sh -c {shlex.quote(command)}", timeout=timeout)
            stdin.close()
            said, complained = _both(stdout.channel, timeout)
            status = stdout.channel.recv_exit_status()
            if status == -1:
                raise EOFError("it ended without an exit status")
        return Completed(status, said.decode(errors="replace"), complained.decode(errors="replace"))

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Write a file over SFTP."""
        with self._sftp(timeout) as sftp:
            sftp.put(str(local), remote)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Read a file over SFTP."""
        with self._sftp(timeout) as sftp:
            sftp.get(remote, str(local))

    def close(self) -> None:
        """End the connection."""
        client, self.client = self.client, None
        if client is not None:
            client.close()

    @contextmanager
    def _sftp(self, timeout: float) -> Iterator[SFTPClient]:
        with self._broken() as client, client.open_sftp() as sftp:
            channel = sftp.get_channel()
            assert channel
            channel.settimeout(link.STALL_SECONDS)
            # Much of a file may wait in buffers when paramiko is done with it, so its progress tells nothing of the time left.
            watchdog = threading.Timer(timeout, client.close)
            watchdog.start()
            try:
                yield sftp
            finally:
                watchdog.cancel()

    @contextmanager
    def _broken(self) -> Iterator[SSHClient]:
        """Connect where there is no connection; an error while talking is a lost link, and ends the connection."""
        import paramiko

        if self.client is None:
            self.connect()
        assert self.client
        try:
            with link.closed_on_failure(self):
                yield self.client
        except (paramiko.SSHException, OSError, EOFError) as error:
            why = str(error) or ("nothing came in time" if isinstance(error, TimeoutError) else type(error).__name__)
            raise self._failed(FailureKind.link_lost, why, "Check the network.") from error

    def _failed(self, kind: FailureKind, why: str, hint: str) -> EdgekitError:
        return link.unreachable(self.profile, self.where, kind, why, hint)


def _both(channel: Channel, timeout: float) -> tuple[bytes, bytes]:
    """Return both outputs of a command that has ended; TimeoutError where it has not after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    said, complained = bytearray(), bytearray()
    while True:
        if channel.recv_ready():
            said += channel.recv(1 << 16)
        elif channel.recv_stderr_ready():
            complained += channel.recv_stderr(1 << 16)
        elif channel.exit_status_ready() and (channel.eof_received or channel.closed):
            return bytes(said), bytes(complained)
        elif time.monotonic() > deadline:
            raise TimeoutError(f"it was not done after {timeout:.0f} s")
        else:
            time.sleep(0.005)
