"""Where things are kept and where names are looked up. Nothing here creates a folder."""

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

    UsageError for what is no folder, and for a path that is not UTF-8: the converters and runtimes that read and write there
    refuse it.
    """
    chosen = os.environ.get("EDGEKIT_CACHE") or settings().cache
    folder = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("edgekit"))
    if printable(str(folder)) != str(folder):
        raise UsageError(f"The cache's path {folder} is not UTF-8.", "Name another with EDGEKIT_CACHE.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"The cache {folder} is no folder.", "Name another with EDGEKIT_CACHE.")
    return folder


def runtime_folder() -> Path:
    """Return the user's folder for what holds until the machine is switched off: who is at work on which device."""
    with warnings.catch_warnings():
        # A session without a login has no runtime folder of its own; platformdirs then takes one below /tmp, and warns.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        return platformdirs.user_runtime_path("edgekit")


def find_document(noun: str, plural: str, environment: str, name: str) -> Path:
    """Find a recipe or device profile by path or by name.

    Order: an explicit path, the current folder's `plural` folder, the folders named by the variable `environment`, the user's
    config folder, the package's own data. UsageError with the nearest known name where nothing is found.
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
    """Return name -> file of all documents of a kind; earlier places hide later ones. Names are printable, files as they are."""
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
    # In an editable installation the package's data still lies at the top of the checkout.
    return inside if inside.is_dir() else package.parent / plural
