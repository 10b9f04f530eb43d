"""Entry points that other packages add to edgekit, and the errors of broken ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from edgekit.errors import EdgekitError, FailureKind, UsageError


@cache
def provided(group: str) -> Mapping[str, Sequence[EntryPoint]]:
    """Return name -> entry points of a group. Several packages may provide a name; nothing is imported.

    It is read once: a look at all installed packages takes 30 ms.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, []).append(entry)
    return found


def only(entries: Sequence[EntryPoint]) -> EntryPoint:
    """Return the one entry point of a name; UsageError that names the packages if several provide it."""
    entry, *others = sorted(entries, key=package_of)
    if others:
        packages = [package_of(each) for each in (entry, *others)]
        message = f"The packages {' and '.join(packages)} both provide {entry.name} ({entry.group})."
        foreign = [package for package in packages if package != "edgekit"]
        raise UsageError(message, f"Uninstall one of them: pip uninstall {foreign[0]}")
    return entry


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that an entry point comes from."""
    return entry.dist.name if entry.dist else entry.value


@contextmanager
def using(entry: EntryPoint) -> Iterator[None]:
    """Name an entry point and its package if their code raises: EdgekitError ``missing_extra`` or ``internal``.

    An EdgekitError passes unchanged: it already says what is wrong.
    The same applies to edgekit's own entry points, which are not plug-ins.
    """
    package = package_of(entry)
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:
        if package == "edgekit":
            raise
        missing = isinstance(error, ModuleNotFoundError)
        kind = FailureKind.missing_extra if missing else FailureKind.internal
        message = (
            f"The plug-in {entry.name} ({entry.group}) of the package {package} does not work: "
            f"{type(error).__name__}: {error}."
        )
        hint = "Install what it needs" if missing else "Report it to its authors"
        raise EdgekitError(kind, "plug-in", message, f"{hint}, or uninstall it: pip uninstall {package}") from error
