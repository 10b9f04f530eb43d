"""The user's settings: ``config.toml`` in the user's configuration folder. Every one of them may be left out."""

from __future__ import annotations

import tomllib
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from edgekit.config.yaml import Strict
from edgekit.errors import UsageError, did_you_mean


class Settings(Strict):
    """What the user has set once for all commands. An option or environment variable goes before it.

    `ledger` is a database URL, `cache` a folder, `device` the device profile that `deploy` uses without ``--device``.
    """

    ledger: str | None = None
    cache: str | None = None
    device: str | None = None


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
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            raise UsageError(f"{file}: unknown key {key}.", did_you_mean(key, Settings.model_fields)) from error
        raise UsageError(f"{file}, key {key}: {problem['msg']}.", "Correct it there.") from error
