"""How to reach a host by SSH, as the user's own ``ssh`` would.

OpenSSH resolves its configuration itself (``ssh -G``), with ``Match``, ``Include`` and ``/etc/ssh/ssh_config``. paramiko has
a reader of its own, which knows no ``Include`` and not all of ``Match``. The connection is paramiko's all the same. Its
errors have types, where those of a running ``ssh`` are texts, and it shows if a connection still answers while a
command hangs. A setting that paramiko cannot follow is reported (:data:`NOT_FOLLOWED`) or refused (:data:`REFUSED`).

If ``$HOME`` is not the account's home, ``$HOME/.ssh/config`` is read and ``/etc/ssh/ssh_config`` is not. Relative paths of
``Include`` then still begin in the account's home.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CONNECT_SECONDS = 5.0
"""Time limit to connect if no ``ConnectTimeout`` is set."""
RESOLVE_SECONDS = 20.0
"""Time limit of ``ssh -G``. A ``Match exec`` may run programs."""
NOT_FOLLOWED = (
    *("bindinterface", "casignaturealgorithms", "ciphers", "hostbasedauthentication", "hostkeyalgorithms"),
    *("kexalgorithms", "knownhostscommand", "localcommand", "macs", "nohostauthenticationforlocalhost"),
    *("permitlocalcommand", "pkcs11provider", "preferredauthentications", "pubkeyacceptedalgorithms"),
    *("pubkeyauthentication", "remotecommand", "requiredrsasize", "securitykeyprovider", "sessiontype", "setenv"),
    *("stricthostkeychecking", "tunnel", "verifyhostkeydns"),
)
"""Settings that change a connection or what runs over it, and that edgekit does not follow."""
REFUSED = {
    "proxyusefdpass": "edgekit cannot take a connection from the proxy's program. Remove ProxyUseFdpass for it.",
    "revokedhostkeys": "edgekit cannot read lists of revoked host keys. Remove RevokedHostKeys for it.",
}
"""Settings without which the connection would not work or not be safe, and why."""


class UnresolvableError(Exception):
    """The configuration of SSH cannot be used. The text says why; `hint` says what to do."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.hint = hint


@dataclass(frozen=True)
class Hop:
    """One host to connect to.

    `name` is the host as a person wrote it, which may be an alias. `listed_as` are host and port under which lists of
    known hosts have its key. `named_keys` says that its `keys` were chosen, by the profile or the configuration.
    `not_followed` are settings that edgekit does not follow, with their values.
    """

    name: str
    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    named_keys: bool
    certificates: tuple[Path, ...]
    identities_only: bool
    agent: Path | None
    known_hosts: tuple[Path, ...]
    listed_as: tuple[str, int]
    jumps: tuple[str, ...]
    proxy_command: str | None
    connect_seconds: float
    compression: bool
    family: socket.AddressFamily
    bind_address: str | None
    not_followed: tuple[str, ...]

    @property
    def login(self) -> str:
        """User and host, as ``ssh`` takes them."""
        return f"{self.user}@{self.host}"

    @property
    def address(self) -> str:
        """User, host and port, with the alias if the host was named by one; for people."""
        alias = "" if self.name == self.host else f", {self.name} in ~/.ssh/config"
        return f"{self.login}:{self.port}{alias}"


def resolve(name: str, user: str | None = None, port: int | None = None, key: Path | None = None) -> Hop:
    """Return how to reach the host `name`. What is given wins over the configuration. UnresolvableError if it cannot be used.

    With `key` the configuration's ``IdentityFile`` does not count.
    """
    given = [*(("-l", user) if user else ()), *(("-p", str(port)) if port else ())]
    settings = _settings((*_config_file(), *given), name)
    defaults = _settings(("-F", "none", *given), name)
    changed = {setting for setting, values in settings.items() if values != defaults.get(setting)}
    for setting in changed & REFUSED.keys():
        raise UnresolvableError(f"its SSH configuration sets {setting}", REFUSED[setting])
    host = _first(settings, "hostname", name)
    port = int(_first(settings, "port", str(port or 22)))
    user = _first(settings, "user", user or pwd.getpwuid(os.getuid()).pw_name)
    alias = _first(settings, "hostkeyalias", "none")
    tokens = {
        **{"%": "%", "d": str(Path.home()), "h": host, "i": str(os.getuid()), "k": host if alias == "none" else alias},
        **{"L": socket.gethostname().partition(".")[0], "l": socket.gethostname(), "n": name, "p": str(port)},
        **{"r": user, "u": pwd.getpwuid(os.getuid()).pw_name},
    }

    def paths(setting: str, of: Mapping[str, Sequence[str]] = settings) -> tuple[Path, ...]:
        found = (_path(value, tokens, setting) for value in of.get(setting, ()))
        return tuple(path for path in found if path)

    def known_hosts(setting: str) -> tuple[Path, ...]:
        found = (_path(value, tokens, setting) for text in settings.get(setting, ()) for value in _several(text))
        return tuple(path for path in found if path)

    own_known_hosts = tuple(Path.home() / ".ssh" / name for name in ("known_hosts", "known_hosts2"))
    named_keys = key is not None or "identityfile" in changed
    default_keys = tuple(Path.home() / ".ssh" / name for name in ("id_rsa", "id_ecdsa", "id_ed25519"))
    keys = paths("identityfile") or (() if named_keys else default_keys)
    proxy_command = _first(settings, "proxycommand", "none")
    jumps = _first(settings, "proxyjump", "none")
    seconds = _first(settings, "connecttimeout", "none")
    return Hop(
        name=name,
        host=host,
        port=port,
        user=user,
        keys=keys if key is None else (key,),
        named_keys=named_keys,
        certificates=paths("certificatefile"),
        identities_only=_first(settings, "identitiesonly", "no") == "yes",
        agent=_agent(_first(settings, "identityagent", "SSH_AUTH_SOCK"), tokens),
        known_hosts=(
            *(known_hosts("userknownhostsfile") if "userknownhostsfile" in changed else own_known_hosts),
            *known_hosts("globalknownhostsfile"),
        ),
        listed_as=(host, port) if alias == "none" else (alias, 22),
        jumps=() if jumps == "none" else tuple(jumps.split(",")),
        proxy_command=None if proxy_command == "none" else _expanded(proxy_command, tokens, "ProxyCommand"),
        connect_seconds=float(seconds) if seconds.isdigit() else CONNECT_SECONDS,
        compression=_first(settings, "compression", "no") == "yes",
        family={"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(
            _first(settings, "addressfamily", "any"), socket.AF_UNSPEC
        ),
        bind_address=_first(settings, "bindaddress", "") or None,
        not_followed=tuple(f"{name} {' '.join(settings[name])}" for name in NOT_FOLLOWED if name in changed),
    )


def jump(text: str) -> tuple[str, str | None, int | None]:
    """Return host, user and port of one jump host: ``[user@]host[:port]``, or the same as an ``ssh://`` URI."""
    match = re.fullmatch(r"(?:ssh://)?(?:([^@]+)@)?(?:\[([^]]+)\]|([^:@]+))(?::(\d+))?/?", text.strip())
    if match is None:
        raise UnresolvableError(f"{text!r} in its ProxyJump is not a host", "Write [user@]host[:port].")
    user, bracketed, host, port = match.groups()
    return bracketed or host, user, int(port) if port else None


def _config_file() -> Sequence[str]:
    """Return the option that names the user's configuration, if ``ssh`` would look for it in another home."""
    own = Path.home() / ".ssh" / "config"
    if Path.home() == Path(pwd.getpwuid(os.getuid()).pw_dir):
        return ()
    return ("-F", str(own) if own.is_file() else "none")


def _settings(options: Sequence[str], name: str) -> dict[str, list[str]]:
    """Return setting, in lower case -> its values, from ``ssh -G``. Empty if there is neither ``ssh`` nor a configuration."""
    if shutil.which("ssh") is None:
        if (Path.home() / ".ssh" / "config").is_file():
            raise UnresolvableError(
                "~/.ssh/config is read by `ssh -G`, and there is no ssh", "apt install openssh-client"
            )
        return {}
    try:
        done = subprocess.run(
            ("ssh", "-G", *options, "--", name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=RESOLVE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        why = f"`ssh -G {name}` was not done after {RESOLVE_SECONDS:.0f} s"
        raise UnresolvableError(why, "Look at `Match exec` in ~/.ssh/config.") from error
    if done.returncode:
        raise UnresolvableError(
            f"`ssh -G {name}` refuses its configuration: {done.stderr.strip()}", "Correct ~/.ssh/config."
        )
    settings: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        setting, _, value = line.partition(" ")
        settings.setdefault(setting.lower(), []).append(value)
    return settings


def _first(settings: Mapping[str, Sequence[str]], setting: str, default: str) -> str:
    return settings.get(setting, (default,))[0]


def _several(text: str) -> Sequence[str]:
    """Return the paths in a setting that takes several. ``ssh -G`` does not quote a path with spaces."""
    return [text] if Path(text).expanduser().is_file() else shlex.split(text)


def _expanded(text: str, tokens: Mapping[str, str], setting: str) -> str:
    """Replace ``%h`` and its like."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in tokens:
            raise UnresolvableError(f"edgekit does not know {match[0]} in its {setting} {text}", "Write it without.")
        return tokens[match[1]]

    return re.sub("%(.)", value, text)


def _path(text: str, tokens: Mapping[str, str], setting: str) -> Path | None:
    """Return a path with ``%h``, ``${NAME}`` and ``~`` replaced. None stands for ``none``."""
    if text == "none":
        return None
    named = re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), text)
    return Path(_expanded(named, tokens, setting)).expanduser()


def _agent(text: str, tokens: Mapping[str, str]) -> Path | None:
    """Return the socket of the agent, from ``IdentityAgent``: a path, or the name of a variable."""
    if text == "SSH_AUTH_SOCK" or re.fullmatch(r"\$\w+", text):
        named = os.environ.get(text.removeprefix("$"))
        return Path(named) if named else None
    return _path(text, tokens, "IdentityAgent")
