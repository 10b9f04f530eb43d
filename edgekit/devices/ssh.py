"""The link to a Linux board: SSH, with paramiko. It checks host keys, and uses keys and the agent, never a password."""

from __future__ import annotations

import logging
import re
import secrets
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgekit.devices import link
from edgekit.devices.base import Completed
from edgekit.devices.profile import FROM_ENVIRONMENT
from edgekit.devices.remote import Port, RemoteProfile
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from paramiko import Channel, SFTPClient, SSHClient

CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 5
DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
"""Files in ``~/.ssh`` that paramiko tries besides the profile's `key` and the agent."""

# Without a handler, its threads log tracebacks to standard error. Errors that matter are raised as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshProfile(RemoteProfile):
    """A device that is reached over SSH.

    `port` is 22 if it is not given. `key` is the file of a private key. `known_hosts` is a file of trusted host keys,
    in addition to ``~/.ssh/known_hosts``.
    """

    host: Annotated[str | None, FROM_ENVIRONMENT] = None
    port: Annotated[Port | None, FROM_ENVIRONMENT] = None
    user: Annotated[str | None, FROM_ENVIRONMENT] = None
    key: Annotated[str | None, FROM_ENVIRONMENT] = None
    known_hosts: Annotated[str | None, FROM_ENVIRONMENT] = None


class SshLink:
    """SSH to one board. Its host key must be in ``~/.ssh/known_hosts`` or in the profile's `known_hosts`."""

    def __init__(self, profile: SshProfile) -> None:
        self.profile = profile
        self.port = profile.port or 22
        self.login = f"{profile.user}@{profile.host}" if profile.user else f"{profile.host}"
        self.where = f"SSH ({self.login}:{self.port})"
        self.client: SSHClient | None = None

    def connect(self) -> None:
        """Connect. EdgekitError (offline, unauthorized, untrusted_host, ...) has a hint."""
        import paramiko

        self.close()
        profile = self.profile
        if not profile.host:
            raise link.without_address(profile)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for key in ("known_hosts", "key"):
            if (file := getattr(profile, key)) and not Path(file).expanduser().is_file():
                hint = f"Correct `{key}` in the profile, or {profile.environment}{key.upper()}."
                raise self._failed(FailureKind.usage, f"there is no file {file}, which is named as its {key}", hint)
        for known in filter(None, ("~/.ssh/known_hosts", profile.known_hosts)):
            self._trust(client, Path(known).expanduser())
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
        from paramiko.ssh_exception import IncompatiblePeer

        profile = self.profile
        assert profile.host
        try:
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
            raise self._another_host() from error
        except IncompatiblePeer as error:
            why = f"the board's SSH and edgekit's have no algorithm in common: {_words(error)}"
            hint = (
                "Update the board's sshd, or allow newer algorithms in its sshd_config (KexAlgorithms, Ciphers, MACs)."
            )
            raise self._failed(FailureKind.unsupported_device, why, hint) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if "not found in known_hosts" in str(error):
                hint = f"Connect once by hand and compare the fingerprint: ssh -p {self.port} {self.login}"
                raise self._failed(FailureKind.untrusted_host, "its host key is not known", hint) from error
            transport = client.get_transport()
            if transport is not None and transport.initial_kex_done:
                raise self._refused(ended=not transport.is_active()) from error
            why = _words(error)
            if transport is not None and not transport.remote_version:
                why = f"the program at this port does not answer as SSH does ({why})"
            hint = "Check host and port. The board must be on, with sshd running."
            raise self._failed(FailureKind.offline, why, hint) from error

    def _trust(self, client: SSHClient, known_hosts: Path) -> None:
        """Have the client trust the hosts of a file, if it exists."""
        from paramiko.hostkeys import InvalidHostKey

        try:
            if known_hosts.exists():
                client.load_system_host_keys(str(known_hosts))
        except (InvalidHostKey, OSError, ValueError) as error:
            words = error.line if isinstance(error, InvalidHostKey) else _words(error)
            why = f"{known_hosts} cannot be read as a list of host keys: {words}"
            hint = f"Correct or remove what is wrong in {known_hosts}."
            raise self._failed(FailureKind.usage, why, hint) from error

    def _another_host(self) -> EdgekitError:
        profile = self.profile
        host = profile.host if self.port == 22 else f"'[{profile.host}]:{self.port}'"
        file = f" -f {profile.known_hosts}" if profile.known_hosts else ""
        hint = f"Find out why. If the board was reinstalled, remove its old key: ssh-keygen -R {host}{file}"
        return self._failed(FailureKind.untrusted_host, "its host key is not the one that is known", hint)

    def _refused(self, ended: bool) -> EdgekitError:
        """Return the error of a board that refused our keys. It names a key file that could not be used.

        `ended`: the board ended the connection while keys were tried.
        """
        login = self.login if self.profile.user else f"USER@{self.login}"
        copy = f"ssh-copy-id -p {self.port} {login}"
        named = self.profile.key
        if ended and not named:
            why = "it ended the connection while your keys were tried, as after too many attempts (MaxAuthTries)"
            hint = f"Name the right one: `key` in the profile, or {self.profile.environment}KEY."
            return self._failed(FailureKind.unauthorized, why, hint)
        for file in [Path(named).expanduser()] if named else [Path.home() / ".ssh" / name for name in DEFAULT_KEYS]:
            if (named or file.is_file()) and (reason := _unusable(file)):
                why = f"it accepted none of your keys, and {file} {reason[0]}"
                return self._failed(FailureKind.unauthorized, why, f"{reason[1]} (then, if need be: {copy})")
        return self._failed(
            FailureKind.unauthorized, "it accepted none of your keys", f"Bring your public key there: {copy}"
        )

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command in a channel of its own. A nonce separates its outputs from those of the login files.

        EdgekitError (``no_permission``) if the account has no shell.
        """
        mark = f"edgekit-{secrets.token_hex(8)}\n"
        marked = f"echo {mark.strip()}; echo {mark.strip()} >&2\n{command}"
        with self._broken() as client:
            stdin, stdout, _ = client.exec_command(f"exec sh -c {shlex.quote(marked)}", timeout=timeout)
            stdin.close()
            stdout_text, stderr_text = (output.decode(errors="replace") for output in _both(stdout.channel, timeout))
            status = stdout.channel.recv_exit_status()
            if status == -1:
                raise EOFError("it ended without an exit status")
            if mark not in stdout_text:
                raise self._no_shell(status, f"{stdout_text}\n{stderr_text}".strip())
        return Completed(status, stdout_text.partition(mark)[2], stderr_text.partition(mark)[2])

    def _no_shell(self, status: int, output: str) -> EdgekitError:
        why = f"the account has no shell, it ends with status {status} and prints: {output[-300:] or 'nothing'}"
        hint = "Give the account a shell (chsh -s /bin/sh). Its login files, such as ~/.bashrc, must not end it."
        return self._failed(FailureKind.no_permission, why, hint)

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Write a file over SFTP."""
        with local.open("rb") as file, self._sftp(timeout) as sftp:
            sftp.putfo(file, remote)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Read a file over SFTP."""
        with local.open("wb") as file, self._sftp(timeout) as sftp:
            sftp.getfo(remote, file)

    def close(self) -> None:
        """End the connection."""
        client, self.client = self.client, None
        if client is not None:
            client.close()

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
        channel.settimeout(link.STALL_SECONDS)
        try:
            channel.invoke_subsystem("sftp")
            return paramiko.SFTPClient(channel)
        except paramiko.SFTPError as error:
            why = f"its SFTP cannot be understood ({_words(error)}), as if a login file prints text"
            hint = "Login files such as ~/.bashrc must print in interactive shells only. Or set `Subsystem sftp internal-sftp`."
            raise self._failed(FailureKind.unsupported_device, why, hint) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            # A server that ends at once closes the channel before or during the first message.
            if isinstance(error, TimeoutError) or not transport.is_active():
                raise
            hint = "Install one there: apt install openssh-sftp-server. sshd_config must name it (Subsystem sftp)."
            raise self._failed(
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
            raise self._failed(FailureKind.link_lost, _words(error), "Check the network.") from error

    def _failed(self, kind: FailureKind, why: str, hint: str) -> EdgekitError:
        return link.unreachable(self.profile, self.where, kind, why, hint)


def _both(channel: Channel, timeout: float) -> tuple[bytes, bytes]:
    """Return both outputs of a command at its end. TimeoutError if it still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    stdout, stderr = bytearray(), bytearray()
    while True:
        if channel.recv_ready():
            stdout += channel.recv(1 << 16)
        elif channel.recv_stderr_ready():
            stderr += channel.recv_stderr(1 << 16)
        elif channel.exit_status_ready() and (channel.eof_received or channel.closed):
            return bytes(stdout), bytes(stderr)
        elif time.monotonic() > deadline:
            raise TimeoutError(f"it was not done after {timeout:.0f} s")
        else:
            time.sleep(0.005)


def _unusable(key: Path) -> tuple[str, str] | None:
    """Return what is wrong with a private key's file, and a hint. None if it can be used."""
    import paramiko
    from cryptography.exceptions import UnsupportedAlgorithm
    from paramiko.pkey import UnknownKeyType

    try:
        paramiko.PKey.from_path(key)
    except TypeError:  # this is how `cryptography` asks for one
        return "has a passphrase", f"Add the key to the agent, which asks for the passphrase: ssh-add {key}"
    except (OSError, ValueError, UnsupportedAlgorithm, paramiko.SSHException, UnknownKeyType) as error:
        return (
            f"is not a private key that edgekit can read: {_unread(key, error)}",
            "Name another by `key` in the profile",
        )
    return None


def _unread(key: Path, error: Exception) -> str:
    """Return in plain words why a file is not a private key."""
    if isinstance(error, OSError):
        return _words(error)
    content = key.read_bytes()
    if not content.strip():
        return "it is empty"
    if re.match(rb"(ssh|ecdsa|sk)-|---- ?BEGIN SSH2 PUBLIC|-----BEGIN .*PUBLIC KEY", content):
        return "it is a public key. The private one is the file beside it without .pub"
    # If nothing in the file is like a key, `cryptography` only links to its page about PEM files.
    return "it does not have the format of a key" if "cryptography.io" in str(error) else _words(error)


def _words(error: Exception) -> str:
    """Return the text of an error from paramiko or the system, without its number."""
    from paramiko.ssh_exception import NoValidConnectionsError

    if isinstance(error, NoValidConnectionsError):
        return ", ".join(sorted({_words(each) for each in error.errors.values()}))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or ("there was no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
