"""The installed kinds of devices: entry points in the group ``edgekit.devices``, edgekit's own and plug-ins'.

An entry point is a class or a function that takes a profile and returns the device. Its attribute `config`
is the class of its profiles, with its own options. Nothing is imported before a profile of the kind is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from edgekit.errors import UsageError, did_you_mean
from edgekit.plugins import only, package_of, provided, using

GROUP = "edgekit.devices"
AnyT = TypeVar("AnyT")


def configured_by(config: type[Any]) -> Callable[[AnyT], AnyT]:
    """Return a decorator that sets a function's attribute `config`: the class of the profiles that it takes."""

    def decorate(connect: AnyT) -> AnyT:
        setattr(connect, "config", config)  # noqa: B010  (mypy knows no attribute of a function)
        return connect

    return decorate


def provider(kind: str) -> EntryPoint:
    """Return the entry point of a kind of device. UsageError if no package provides it, or several do."""
    known = provided(GROUP)
    if kind not in known:
        raise UsageError(f"nothing provides the kind {kind}.", did_you_mean(kind, known))
    return only(known[kind])


def load_kind(kind: str) -> Any:
    """Return the class or function of a kind of device. EdgekitError names the package of a broken plug-in."""
    entry = provider(kind)
    with using(entry):
        return entry.load()


def own_kinds() -> list[str]:
    """Return the kinds that edgekit itself provides."""
    return sorted(kind for kind, entries in provided(GROUP).items() if any(package_of(e) == "edgekit" for e in entries))
