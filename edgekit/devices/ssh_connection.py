"""How a connection to a board is made: over its jump hosts, with the user's keys, to hosts whose keys are known."""

from __future__ import annotations

import logging
import shlex
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgekit.devices import link
from edgekit.devices.profile import FROM_ENVIRONMENT
from edgekit.devices.remote import Port, RemoteProfile
from edgekit.devices.ssh_carrier import ProxySocket, proxy, tcp
from edgekit.devices.ssh_config import Hop, UnresolvableError, jump, resolve
from edgekit.devices.ssh_keys import Keys
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from paramiko import Channel, SSHClient, Transport
    from paramiko.auth_strategy import AuthStrategy

KEEPALIVE_SECONDS = 5
MOST_HOPS = 8
"""More jump hosts on the way than these are taken for a circle."""

LOGGER = logging.getLogger(__name__)
# Without a handler, its threads log tracebacks to standard error. Errors that matter are raised as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshProfile(RemoteProfile):
    """A device that is reached over SSH. `host` may be an alias in ``~/.ssh/config``.

    What is not given comes from there: `user`, `port`, and `key`, the file of a private key. `known_hosts` is a file of
    trusted host keys, in addition to those of the configuration.
    """

    host: Annotated[str | None, FROM_ENVIRONMENT] = None
    port: Annotated[Port | None, FROM_ENVIRONMENT] = None
    user: Annotated[str | None, FROM_ENVIRONMENT] = None
    key: Annotated[str | None, FROM_ENVIRONMENT] = None
    known_hosts: Annotated[str | None, FROM_ENVIRONMENT] = None


class SshConnection:
    """A connection to one board, through its jump hosts. Each host's key must be in a list of known hosts."""

    def __init__(self, profile: SshProfile) -> None:
        self.profile = profile
        login = f"{profile.user}@{profile.host}" if profile.user else f"{profile.host}"
        self.where = f"SSH ({login}:{profile.port})" if profile.port else f"SSH ({login})"
        self.client: SSHClient | None = None
        self._connection = ExitStack()

    def connect(self) -> None:
        """Connect. EdgekitError (offline, unauthorized, untrusted_host, ...) has a hint."""
        self.close()
        if not self.profile.host:
            raise link.without_address(self.profile)
        *jumps, board = self.route
        self.where = f"SSH ({board.address})"
        with ExitStack() as connection:
            client: SSHClient | None = None
            for hop in (*jumps, board):
                client = self._enter(connection, hop, client)
            assert client
            self.client, self._connection = client, connection.pop_all()

    @cached_property
    def route(self) -> tuple[Hop, ...]:
        """The jump hosts in the order to pass them, and the board, from the profile and the configuration of SSH.

        EdgekitError (``usage``) if a file that the profile names is missing, or the configuration cannot be used.
        """
        profile = self.profile
        assert profile.host
        for key in ("known_hosts", "key"):
            if (file := getattr(profile, key)) and not Path(file).expanduser().is_file():
                hint = f"Correct `{key}` in the profile, or {profile.environment}{key.upper()}."
                raise self.failed(FailureKind.usage, f"there is no file {file}, which is named as its {key}", hint)
        named_key = Path(profile.key).expanduser() if profile.key else None
        try:
            board = resolve(profile.host, profile.user, profile.port, named_key)
            route = (*_jumps(board), board)
        except UnresolvableError as error:
            raise self.failed(FailureKind.usage, str(error), error.hint) from error
        for hop in route:
            if hop.not_followed:
                settings = ", ".join(hop.not_followed)
                LOGGER.warning(
                    "%s: edgekit does not follow these settings of SSH for %s: %s",
                    self.profile.name,
                    hop.name,
                    settings,
                )
        return route

    def _enter(self, connection: ExitStack, hop: Hop, before: SSHClient | None) -> SSHClient:
        """Connect to a hop, through the client of the one before. What is opened is closed with `connection`."""
        import paramiko

        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        own = (Path(self.profile.known_hosts).expanduser(),) if self.profile.known_hosts else ()
        lists = (*hop.known_hosts, *own)
        for known in lists:
            self._trust(client, known, hop)
        carrier = self._reach(connection, hop, before)
        connection.callback(client.close)
        self._greet(client, carrier, hop, lists)
        transport = client.get_transport()
        assert transport
        if transport.get_remote_server_key().get_base64() in _marked(lists, "@revoked"):
            hint = "Find out why: a list of known hosts has it as @revoked."
            raise self.failed(FailureKind.untrusted_host, "its host key is revoked", hint, hop)
        transport.set_keepalive(KEEPALIVE_SECONDS)
        return client

    def _reach(self, connection: ExitStack, hop: Hop, before: SSHClient | None) -> socket.socket | Channel:
        """Open what carries the SSH of a hop: a channel of the hop before, the proxy's program, or TCP."""
        import paramiko

        try:
            if before is not None:
                transport = before.get_transport()
                assert transport
                target = (hop.host, hop.port)
                return transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=hop.connect_seconds)
            if hop.proxy_command is not None:
                return connection.enter_context(proxy(hop.proxy_command))
            return connection.enter_context(tcp(hop))
        except paramiko.ChannelException as error:
            hint = "Check the address, and that the sshd of the jump host has AllowTcpForwarding."
            why = f"its jump host does not connect to it: {words(error)}"
            raise self.failed(FailureKind.offline, why, hint, hop) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            hint = "Check host and port. The board must be on, with sshd running."
            raise self.failed(FailureKind.offline, words(error), hint, hop) from error

    def _greet(self, client: SSHClient, carrier: socket.socket | Channel, hop: Hop, lists: Sequence[Path]) -> None:
        import paramiko
        from paramiko.ssh_exception import IncompatiblePeer

        keys = Keys(hop)
        try:
            client.connect(
                *hop.listed_as,  # it connects by `sock`, and looks for the host's key under this name
                username=hop.user,
                sock=carrier,
                compress=hop.compression,
                timeout=hop.connect_seconds,
                banner_timeout=hop.connect_seconds,
                auth_timeout=hop.connect_seconds,
                channel_timeout=hop.connect_seconds,
                auth_strategy=_strategy(keys),
            )
        except paramiko.BadHostKeyException as error:
            raise self._another_host(hop) from error
        except IncompatiblePeer as error:
            why = f"the board's SSH and edgekit's have no algorithm in common: {words(error)}"
            hint = (
                "Update the board's sshd, or allow newer algorithms in its sshd_config (KexAlgorithms, Ciphers, MACs)."
            )
            raise self.failed(FailureKind.unsupported_device, why, hint, hop) from error
        except (paramiko.SSHException, OSError, EOFError, _MoreNeededError) as error:
            if "not found in known_hosts" in str(error):
                hint = f"Connect once by hand and compare the fingerprint: {self._by_hand()}"
                why = "its host key is not known"
                if _marked(lists, "@cert-authority"):
                    why = f"{why}, and edgekit does not read certificates of hosts (@cert-authority)"
                raise self.failed(FailureKind.untrusted_host, why, hint, hop) from error
            transport = client.get_transport()
            if transport is not None and transport.initial_kex_done:
                raise self._refused(keys, hop, error, ended=not transport.is_active()) from error
            why = words(error)
            if transport is not None and not transport.remote_version:
                why = f"the program at this port does not answer as SSH does ({why})"
            if isinstance(carrier, ProxySocket) and (said := carrier.said()):
                why = f"{why}; its ProxyCommand printed: {said}"
            hint = "Check host and port. The board must be on, with sshd running."
            raise self.failed(FailureKind.offline, why, hint, hop) from error

    def _by_hand(self) -> str:
        """Return the command that connects to the board."""
        profile = self.profile
        login = f"{profile.user}@{profile.host}" if profile.user else f"{profile.host}"
        return shlex.join(("ssh", *(("-p", str(profile.port)) if profile.port else ()), login))

    def _trust(self, client: SSHClient, known_hosts: Path, hop: Hop) -> None:
        """Have the client trust the hosts of a file, if it exists. paramiko cannot read lines with a mark (``@revoked``)."""
        from paramiko.hostkeys import InvalidHostKey

        try:
            if known_hosts.exists():
                lines = known_hosts.read_text().splitlines()
                with tempfile.NamedTemporaryFile("w", suffix=".known_hosts") as unmarked:
                    unmarked.writelines(f"{line}\n" for line in lines if not line.startswith("@"))
                    unmarked.flush()
                    client.load_system_host_keys(unmarked.name)
        except (InvalidHostKey, OSError, ValueError) as error:
            said = error.line if isinstance(error, InvalidHostKey) else words(error)
            why = f"{known_hosts} cannot be read as a list of host keys: {said}"
            hint = f"Correct or remove what is wrong in {known_hosts}."
            raise self.failed(FailureKind.usage, why, hint, hop) from error

    def _another_host(self, hop: Hop) -> EdgekitError:
        name, port = hop.listed_as
        host = name if port == 22 else f"'[{name}]:{port}'"
        file = f" -f {self.profile.known_hosts}" if self.profile.known_hosts else ""
        hint = f"Find out why. If the board was reinstalled, remove its old key: ssh-keygen -R {host}{file}"
        return self.failed(FailureKind.untrusted_host, "its host key is not the one that is known", hint, hop)

    def _refused(self, keys: Keys, hop: Hop, error: Exception, ended: bool) -> EdgekitError:
        """Return the error of a host that refused our keys. It names a file that could not be used.

        `ended`: the host ended the connection while keys were tried.
        """
        copy = f"ssh-copy-id -p {hop.port} {hop.login}"
        if isinstance(error, _MoreNeededError):
            why = f"it accepted a key, and also asks for {error}. edgekit answers no questions"
            hint = "Use an account of the board that needs a key only."
            return self.failed(FailureKind.unauthorized, why, hint, hop)
        if ended and not hop.named_keys:
            why = "it ended the connection while your keys were tried, as after too many attempts (MaxAuthTries)"
            hint = f"Name the right one: `key` in the profile, or {self.profile.environment}KEY."
            return self.failed(FailureKind.unauthorized, why, hint, hop)
        for file, (problem, advice) in keys.problems.items():
            why = f"it accepted none of your keys, and {file} {problem}"
            return self.failed(FailureKind.unauthorized, why, f"{advice} (then, if need be: {copy})", hop)
        return self.failed(
            FailureKind.unauthorized, "it accepted none of your keys", f"Bring your public key there: {copy}", hop
        )

    def close(self) -> None:
        """End the connection."""
        self.client = None
        self._connection.close()

    def failed(self, kind: FailureKind, why: str, hint: str, hop: Hop | None = None) -> EdgekitError:
        """Return the error of this link. It names `hop` if that is a jump host."""
        if hop is not None and hop is not self.route[-1]:
            why, hint = f"its jump host {hop.address}: {why}", f"For the jump host: {hint}"
        return link.unreachable(self.profile, self.where, kind, why, hint)


def _marked(lists: Sequence[Path], mark: str) -> set[str]:
    """Return the keys in base64 of lines of known hosts with a mark, which paramiko skips. They count for every host."""
    lines = (line.split() for known in lists if known.is_file() for line in known.read_text().splitlines())
    return {parts[3] for parts in lines if len(parts) > 3 and parts[0] == mark}


def _jumps(hop: Hop, before: int = 0) -> tuple[Hop, ...]:
    """Return the jump hosts before a hop, in the order to pass them. The first may have jump hosts of its own."""
    if before + len(hop.jumps) > MOST_HOPS:
        raise UnresolvableError(
            f"there are more than {MOST_HOPS} jump hosts on the way", "Correct ProxyJump: it is a circle."
        )
    if not hop.jumps:
        return ()
    found = [resolve(*jump(text)) for text in hop.jumps]
    return (*_jumps(found[0], before + len(found)), *found)


class _MoreNeededError(Exception):
    """A key was accepted, and the host asks for more. The text names it."""


def _strategy(keys: Keys) -> AuthStrategy:
    """Return the strategy that shows the keys one after the other."""
    import paramiko
    from paramiko.auth_strategy import AuthResult, AuthStrategy, InMemoryPrivateKey, SourceResult

    class ShowKeys(AuthStrategy):
        def get_sources(self) -> Iterator[InMemoryPrivateKey]:
            return (InMemoryPrivateKey(keys.hop.user, key) for key in keys.offered())

        def authenticate(self, transport: Transport) -> AuthResult:
            for source in self.get_sources():
                with suppress(paramiko.SSHException, EOFError):
                    if more := source.authenticate(transport):
                        raise _MoreNeededError(" and ".join(sorted(more)))
                    result = AuthResult(self)
                    result.append(SourceResult(source, []))
                    return result
                if not transport.is_active():
                    break
            raise paramiko.AuthenticationException("no key was accepted")

    return ShowKeys(paramiko.SSHConfig())


def words(error: Exception) -> str:
    """Return the text of an error from paramiko or the system, without its number."""
    import paramiko

    if isinstance(error, paramiko.ChannelException):
        return error.text
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or ("there was no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
