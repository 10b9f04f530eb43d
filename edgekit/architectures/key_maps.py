"""Key maps: CSV files in a package's folder ``keymaps`` that map a checkpoint's names to ours.

Those of ``edgekit.architectures`` are lists of names (columns torchvision, shape, edgekit; the shape as in ``16x3x3x3``,
empty for a scalar) or rules, which serve every width and depth of an architecture (columns pattern, edgekit). Those of
``edgekit.weights.importers`` have the columns edgekit, rule, source.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

from edgekit.errors import UsageError, did_you_mean


def key_maps(package: str) -> list[str]:
    """Return the names of a package's key maps."""
    return sorted(Path(file.name).stem for file in (files(package) / "keymaps").iterdir())


def read_key_map(package: str, name: str) -> list[dict[str, str]]:
    """Return the rows of a key map; UsageError with the nearest name for one that `package` does not have."""
    known = key_maps(package)
    if name not in known:
        raise UsageError(f"There is no key map named {name}.", did_you_mean(name, known))
    return list(csv.DictReader((files(package) / "keymaps" / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
