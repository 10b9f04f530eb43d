"""The keys to show to a host: from files, with their certificates, and from an agent. Never a password."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices.ssh_config import Hop

if TYPE_CHECKING:
    from paramiko import PKey
    from paramiko.agent import AgentKey


@dataclass
class Keys:
    """The keys of one attempt to log in. `problems` are files that could not be used: path -> what is wrong, and a hint."""

    hop: Hop
    problems: dict[Path, tuple[str, str]] = field(default_factory=dict)

    def offered(self) -> Iterator[PKey]:
        """Return the keys in the order to try them: chosen ones, then the agent's, then those of the usual files.

        A key of a file is the agent's if the agent has it: the file may have a passphrase. ``IdentitiesOnly`` leaves out
        the agent's other keys. Each certificate of a key comes before the key alone.
        """
        held: dict[bytes, list[AgentKey]] = {}
        for key in sorted(self._agents(), key=lambda key: "-cert-" not in key.get_name()):
            held.setdefault(_public(f"{key.get_name()} {base64.b64encode(key.blob).decode()}"), []).append(key)
        files = [file for file in self.hop.keys if self.hop.named_keys or file.exists()]
        of_files = {public for file in files for public in _publics_of(file)}
        # A key is shown before the next one is made: the forms of one key share an object.
        if self.hop.named_keys:
            for file in files:
                yield from self._of_file(file, held)
        if not self.hop.identities_only:
            for public, keys in held.items():
                if public not in of_files:
                    yield from self._with_certificates(public, keys, ())
        if not self.hop.named_keys:
            for file in files:
                yield from self._of_file(file, held)

    def _agents(self) -> Sequence[AgentKey]:
        """Return the agent's keys. Its certificates count as keys."""
        from paramiko import SSHException

        if self.hop.agent is None:
            return ()
        try:
            return _keys_of_agent(self.hop.agent)
        except (OSError, SSHException) as error:
            self.problems[self.hop.agent] = f"is not an agent that answers: {error}", "Start it: eval $(ssh-agent)"
            return ()

    def _of_file(self, file: Path, held: dict[bytes, list[AgentKey]]) -> Iterator[PKey]:
        certificate = Path(f"{file}-cert.pub")
        for public in _publics_of(file):
            if public in held:
                yield from self._with_certificates(public, held[public], (certificate,))
                return
        problem = unusable(file)
        if problem is not None:
            self.problems[file] = problem
            return
        import paramiko

        key = paramiko.PKey.from_path(file)
        key.public_blob = None  # without the certificate beside it, which comes in its turn
        yield from self._with_certificates(_public(f"{key.get_name()} {key.get_base64()}"), [key], (certificate,))

    def _with_certificates(self, public: bytes, keys: Sequence[PKey], beside: Iterable[Path]) -> Iterator[PKey]:
        """Return the key with each certificate that is for it, then alone. The agent may have it in both forms."""
        *certified, key = keys
        yield from certified
        for certificate in dict.fromkeys((*self.hop.certificates, *beside)):
            if _public_of_file(certificate) == public:
                key.load_certificate(str(certificate))
                yield key
                key.public_blob = None
            elif certificate in self.hop.certificates and not certificate.is_file():
                self.problems[certificate] = "is missing", "Correct CertificateFile in ~/.ssh/config"
        yield key


def _keys_of_agent(path: Path) -> Sequence[AgentKey]:
    """Return the keys of the agent at a socket. paramiko's own `Agent` only knows the one of SSH_AUTH_SOCK."""
    from paramiko.agent import AgentSSH

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(path))
    agent = AgentSSH()
    agent._connect(connection)  # type: ignore[attr-defined]
    return agent.get_keys()


def _public(line: str) -> bytes:
    """Return what identifies the key of a line such as ``ssh-ed25519 AAAA``; of a certificate, the key that it is for."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        SSHCertificate,
        load_ssh_public_identity,
    )

    try:
        identity = load_ssh_public_identity(line.encode())
        key = identity.public_key() if isinstance(identity, SSHCertificate) else identity
        return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (ValueError, UnsupportedAlgorithm):
        return line.encode()  # as of a security key, which only its agent can use


def _publics_of(file: Path) -> Sequence[bytes]:
    """Return what identifies the key of a private file, by the public files beside it; or of a public file."""
    found = [_public_of_file(path) for path in (Path(f"{file}-cert.pub"), Path(f"{file}.pub"), file)]
    return [public for public in found if public]


def _public_of_file(file: Path) -> bytes | None:
    """Return what identifies the key of a public file or a certificate. None if it is none, or missing."""
    try:
        line = file.read_text().strip()
    except (OSError, ValueError):
        return None
    return _public(" ".join(line.split()[:2])) if re.match(r"(ssh|ecdsa|sk)-\S+ \S+", line) else None


def unusable(key: Path) -> tuple[str, str] | None:
    """Return what is wrong with a private key's file, and a hint. None if it can be used."""
    import paramiko
    from cryptography.exceptions import UnsupportedAlgorithm
    from paramiko.pkey import UnknownKeyType

    if not key.exists():
        return "is missing", "Correct IdentityFile in ~/.ssh/config"
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
        return error.strerror or str(error)
    content = key.read_bytes()
    if not content.strip():
        return "it is empty"
    if re.match(rb"(ssh|ecdsa|sk)-|---- ?BEGIN SSH2 PUBLIC|-----BEGIN .*PUBLIC KEY", content):
        return "it is a public key. The private one is the file beside it without .pub"
    # If nothing in the file is like a key, `cryptography` only links to its page about PEM files.
    return "it does not have the format of a key" if "cryptography.io" in str(error) else str(error)
