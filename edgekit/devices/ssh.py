"""The link to a Linux board: SSH, with paramiko. It checks host keys, and uses keys and the agent, never a password."""

from __future__ import annotations

import secrets
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices import link
from edgekit.devices.base import Completed
from edgekit.devices.ssh_connection import SshConnection, words
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from paramiko import Channel, SFTPClient, SSHClient, Transport

SILENT_SECONDS = 3.0
"""If nothing came for so long while a command runs, the host is asked if it is still there."""
SFTP_STALL_SECONDS = 6.0
"""A transfer is broken if nothing moves for so long. paramiko waits for it twice: for an answer, and to close the file."""
ANSWER_SECONDS = 3.0
"""Time limit for the answer. It needs no new process there, so a busy board gives it too."""


class SshLink(SshConnection):
    """SSH to one board."""

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command in a channel of its own. A nonce separates its outputs from those of the login files.

        EdgekitError: ``no_permission`` if the account has no shell, ``timed_out`` if only this command hangs. The
        connection is kept then.
        """
        mark = f"edgekit-{secrets.token_hex(8)}\n"
        marked = f"echo {mark.strip()}; echo {mark.strip()} >&2\n{command}"
        with self._broken() as client:
            channel = self._start(client, f"exec sh -c {shlex.quote(marked)}")
            outputs = _both(channel, timeout)
            if outputs is not None:
                stdout_text, stderr_text = (output.decode(errors="replace") for output in outputs)
                status = channel.recv_exit_status()
                if status == -1:
                    raise EOFError("it ended without an exit status")
                if mark not in stdout_text:
                    raise self._no_shell(status, f"{stdout_text}\n{stderr_text}".strip())
        if outputs is None:
            channel.close()
            raise self._hanging(command, timeout)
        return Completed(status, stdout_text.partition(mark)[2], stderr_text.partition(mark)[2])

    def _start(self, client: SSHClient, command: str) -> Channel:
        """Start a command without input, and return its channel."""
        transport = client.get_transport()
        assert transport
        # paramiko waits without a limit for the answer to the request to start it.
        watchdog = threading.Timer(2 * ANSWER_SECONDS, client.close)
        watchdog.start()
        try:
            channel = transport.open_session(timeout=ANSWER_SECONDS)
            channel.exec_command(command)
            channel.shutdown_write()
        finally:
            watchdog.cancel()
        return channel

    def _hanging(self, command: str, timeout: float) -> EdgekitError:
        message = f"{self.profile.name} was not done after {timeout:.0f} s with `{command.splitlines()[0][:80]}`."
        hint = "It answers other commands, so this one hangs. If it hangs again, restart the board."
        return EdgekitError(FailureKind.timed_out, "device", message, hint, retriable=True)

    def _no_shell(self, status: int, output: str) -> EdgekitError:
        why = f"the account has no shell, it ends with status {status} and prints: {output[-300:] or 'nothing'}"
        hint = "Give the account a shell (chsh -s /bin/sh). Its login files, such as ~/.bashrc, must not end it."
        return self.failed(FailureKind.no_permission, why, hint)

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Write a file over SFTP."""
        with local.open("rb") as file, self._sftp(timeout) as sftp:
            sftp.putfo(file, remote)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Read a file over SFTP."""
        with local.open("wb") as file, self._sftp(timeout) as sftp:
            sftp.getfo(remote, file)

    @contextmanager
    def _sftp(self, timeout: float) -> Iterator[SFTPClient]:
        with self._broken() as client:
            # Buffers may hold much of a file when paramiko is done, so its progress does not show the time left.
            watchdog = threading.Timer(timeout, client.close)
            watchdog.start()
            try:
                with self._open_sftp(client) as sftp:
                    yield sftp
            finally:
                watchdog.cancel()

    def _open_sftp(self, client: SSHClient) -> SFTPClient:
        """Start SFTP. EdgekitError (``unsupported_device``) if the board has none."""
        import paramiko

        transport = client.get_transport()
        assert transport
        channel = transport.open_session()
        channel.settimeout(SFTP_STALL_SECONDS)
        try:
            channel.invoke_subsystem("sftp")
            return paramiko.SFTPClient(channel)
        except paramiko.SFTPError as error:
            why = f"its SFTP cannot be understood ({words(error)}), as if a login file prints text"
            hint = "Login files such as ~/.bashrc must print in interactive shells only. Or set `Subsystem sftp internal-sftp`."
            raise self.failed(FailureKind.unsupported_device, why, hint) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            # A server that ends at once closes the channel before or during the first message.
            if isinstance(error, TimeoutError) or not transport.is_active():
                raise
            hint = "Install one there: apt install openssh-sftp-server. sshd_config must name it (Subsystem sftp)."
            raise self.failed(
                FailureKind.unsupported_device, "it has no SFTP server, which receives files", hint
            ) from error

    @contextmanager
    def _broken(self) -> Iterator[SSHClient]:
        """Connect if there is no connection. Turn a later error into ``link_lost``, and end the connection."""
        import paramiko

        if self.client is None:
            self.connect()
        assert self.client
        try:
            with link.closed_on_failure(self):
                yield self.client
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self.failed(FailureKind.link_lost, words(error), "Check the network.") from error


def _both(channel: Channel, timeout: float) -> tuple[bytes, bytes] | None:
    """Return both outputs of a command at its end. None if it still runs after `timeout` seconds.

    TimeoutError if the host does not answer any more.
    """
    deadline = time.monotonic() + timeout
    stdout, stderr = bytearray(), bytearray()
    heard = time.monotonic()
    while True:
        now = time.monotonic()
        if channel.recv_ready():
            stdout += channel.recv(1 << 16)
            heard = now
        elif channel.recv_stderr_ready():
            stderr += channel.recv_stderr(1 << 16)
            heard = now
        elif channel.exit_status_ready() and (channel.eof_received or channel.closed):
            return bytes(stdout), bytes(stderr)
        elif now > min(deadline, heard + SILENT_SECONDS):
            if not _answers(channel.get_transport()):
                raise TimeoutError(f"it did not answer for {time.monotonic() - heard:.0f} s")
            heard = time.monotonic()
        else:
            time.sleep(0.005)
        if now > deadline:
            return None


def _answers(transport: Transport) -> bool:
    """Say whether the host still answers on this connection: it opens another channel, or refuses to."""
    import paramiko

    try:
        transport.open_session(timeout=ANSWER_SECONDS).close()
    except paramiko.ChannelException:
        return True
    except (paramiko.SSHException, OSError, EOFError):
        return False
    return True
