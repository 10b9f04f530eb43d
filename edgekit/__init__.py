"""edgekit: vision models from PyTorch to phones and boards, and how fast they really are there.

The public names are those of ``__all__``. They are loaded when they are first used, so that importing edgekit is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit import report as report
    from edgekit.api import Ledger as Ledger
    from edgekit.api import select as select

__version__ = "0.1.0"
__all__ = ["Ledger", "report", "select"]

_PLACES = {"Ledger": "edgekit.api", "select": "edgekit.api"}


def __getattr__(name: str) -> Any:
    if name == "report":
        return import_module("edgekit.report")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"edgekit has no public name {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
