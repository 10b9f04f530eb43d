"""The user's settings: ``config.toml`` in the user's configuration folder. Every one of them may be left out."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import platformdirs

from edgekit.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Settings:
    """What the user has set once for all commands. An option or environment variable goes before it.

    `ledger` is a database URL, `cache` a folder, `device` the device profile that `deploy` uses without ``--device``.
    """

    ledger: str | None = None
    cache: str | None = None
    device: str | None = None


KEYS = [field.name for field in fields(Settings)]


def settings_file() -> Path:
    """Return where the settings are looked for: ``~/.config/edgekit/config.toml`` on Linux."""
    return Path(platformdirs.user_config_dir("edgekit")) / "config.toml"


def settings() -> Settings:
    """Read the user's settings; none are set if there is no file. UsageError names what is wrong with the file."""
    file = settings_file()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.", "Correct it, or move it away.") from error
    for key, value in content.items():
        if key not in KEYS:
            raise UsageError(f"{file}: unknown key {key}.", did_you_mean(key, KEYS))
        if not isinstance(value, str):
            raise UsageError(f"{file}, key {key}: {value!r} is not text.", "Write it in quotes.")
    return Settings(**content)
