"""adb's keys, with which a phone recognises this computer. An adb server has its own; these are for USB and TCP."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices.adb.profile import AdbProfile
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner


def key_file(profile: AdbProfile) -> Path:
    """Return the private key's file: the profile's `key`, else Android's own."""
    return Path(profile.key).expanduser() if profile.key else Path.home() / ".android" / "adbkey"


def signer(profile: AdbProfile) -> PythonRSASigner:
    """Return the signer with the key of :func:`key_file`. Android's own key is made if it is missing.

    EdgekitError: ``usage`` if the key that the profile names is missing, ``unauthorized`` if a key cannot be read.
    """
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    key = key_file(profile)
    public = Path(f"{key}.pub")
    try:
        if not key.exists():
            if profile.key:
                raise _is_missing(profile, key)
            _make(key, public)
        private = key.read_text()
        if not public.is_file():
            message = f"{key} has no public key beside it."
            hint = f"Make it: adb pubkey {key} > {public}"
            raise EdgekitError(FailureKind.unauthorized, "reach", message, hint)
        return PythonRSASigner(public.read_text(), private)
    except (OSError, ValueError) as error:
        message = f"{key} is not a key that edgekit can read: {error}"
        hint = "Correct `key` in the profile, or make a new one: adb keygen FILE"
        raise EdgekitError(FailureKind.unauthorized, "reach", message, hint) from error


def _is_missing(profile: AdbProfile, key: Path) -> EdgekitError:
    """Return the error for a key that the profile names. A new one would have to be allowed on the phone."""
    message = f"{profile.name} names the key {key}, and there is no such file."
    hint = f"Correct `key` in the profile, or {profile.environment}KEY. To make a new key: adb keygen {key}"
    return EdgekitError(FailureKind.usage, "reach", message, hint)


def _make(key: Path, public: Path) -> None:
    """Make a pair of keys. Other users can never read the private one."""
    from adb_shell.auth.keygen import keygen

    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=key.parent, prefix=".edgekit-") as private:
        made = Path(private) / "adbkey"
        keygen(str(made))
        made.chmod(0o600)
        # adb-shell writes no final newline, but adb's key files must be fit for concatenation.
        public.write_text(Path(f"{made}.pub").read_text().rstrip("\n") + "\n")
        made.replace(key)
