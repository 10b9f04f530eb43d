"""Entry points that other packages add to edgekit, and the errors of broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

from edgekit.errors import EdgekitError, FailureKind


@contextmanager
def using(entry: EntryPoint) -> Iterator[None]:
    """Name an entry point and its package if their code raises: EdgekitError ``missing_extra`` or ``internal``.

    An EdgekitError passes unchanged: it already says what is wrong.
    The same applies to edgekit's own entry points, which are not plug-ins.
    """
    package = entry.dist.name if entry.dist else entry.module
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
