"""Folders of edgekit and look-up of names. Nothing here creates a folder."""

from __future__ import annotations

import os
import warnings
from importlib.resources import files
from pathlib import Path

import platformdirs

from edgekit.config.settings import settings
from edgekit.errors import UsageError, did_you_mean, printable


def cache_folder() -> Path:
    """Return the cache (``EDGEKIT_CACHE``, else that of the settings, else the user's): weights, models, artifacts.

    UsageError if it is not a folder, or its path is not UTF-8: converters and runtimes refuse such a path.
    """
    chosen = os.environ.get("EDGEKIT_CACHE") or settings().cache
    folder = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("edgekit"))
    if printable(str(folder)) != str(folder):
        raise UsageError(f"The cache's path {folder} is not UTF-8.", "Name another with EDGEKIT_CACHE.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"The cache {folder} is not a folder.", "Name another with EDGEKIT_CACHE.")
    return folder


def runtime_folder() -> Path:
    """Return the user's folder for locks on devices. It need not survive a reboot."""
    with warnings.catch_warnings():
        # A session without a login has no runtime folder. platformdirs then uses /tmp and warns.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        return platformdirs.user_runtime_path("edgekit")


def find_document(noun: str, plural: str, environment: str, name: str) -> Path:
    """Find a recipe or device profile by path or by name.

    Order: an explicit path, the current folder's `plural` folder, the folders named by the variable `environment`, the user's
    config folder, the package's own data. UsageError, with the nearest known name, if nothing is found.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if path.is_file():
            return path
        what = "is a folder" if path.is_dir() else "is a link to nothing" if path.is_symlink() else "does not exist"
        raise UsageError(
            f"There is no {noun} at {name}: it {what}.",
            "Check the path, or give a name such as " + _some(plural, environment),
        )
    known = known_documents(plural, environment)
    if name in known:
        return known[name]
    raise UsageError(f"There is no {noun} named {name}.", did_you_mean(name, known))


def known_documents(plural: str, environment: str) -> dict[str, Path]:
    """Return name -> file of all documents of a kind. Earlier places hide later ones."""
    known: dict[str, Path] = {}
    for folder in _folders(plural, environment):
        for path in sorted(folder.glob("*.yaml")):
            known.setdefault(printable(path.stem), path)
    return known


def _some(plural: str, environment: str) -> str:
    return ", ".join(sorted(known_documents(plural, environment))[:3]) + "."


def _folders(plural: str, environment: str) -> list[Path]:
    named = [Path(part) for part in os.environ.get(environment, "").split(os.pathsep) if part]
    return [Path(plural), *named, Path(platformdirs.user_config_dir("edgekit")) / plural, shipped(plural)]


def shipped(plural: str) -> Path:
    """Return edgekit's own folder of recipes or device profiles."""
    package = Path(str(files("edgekit")))
    inside = package / "data" / plural
    # In an editable installation the data is at the top of the checkout.
    return inside if inside.is_dir() else package.parent / plural
