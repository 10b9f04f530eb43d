"""Which tensors of a checkpoint are the model's: training scripts wrap them and put prefixes before their names.

Usual wrappers and prefixes are recognised. If there are several choices, the recipe must choose.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from torch import Tensor, nn

ENTRIES = ("state_dict", "model_state_dict", "model", "net", "model_ema", "state_dict_ema", "ema_state_dict", "ema")
"""Keys under which training scripts save a model's tensors, or their moving average (EMA)."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What DataParallel, torch.compile, Lightning and training scripts put before every name."""
COUNTERS = {"n_averaged"}
"""What torch's AveragedModel keeps beside the tensors of its model."""
UNSUPPORTED = re.compile(r"(?:GLOBAL|global|class) ([\w.]+)")


def is_safetensors(file: Path) -> bool:
    """Return whether a file begins like safetensors: the header's length, then a JSON header."""
    with file.open("rb") as opened:
        return opened.read(9)[8:] == b"{"


def read_tensors(checkpoint: Path, name: str, entry: str | None) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a checkpoint file called `name`, and the entry that they are in (empty: the file itself).

    No code in the file is run. EdgekitError (``recipe``) for a damaged file, a file that needs code, and a wrapper
    whose entry must be chosen.
    """
    content = _load(checkpoint, name)
    if entry is None and is_tensors(content):
        return dict(content), ""
    entries = [str(key) for key, value in content.items() if is_tensors(value)] if isinstance(content, Mapping) else []
    if entry is not None:
        if entry not in entries:
            raise _choose(name, f"has no entry {entry} of tensors", entries)
        return dict(content[entry]), entry
    if not entries:
        raise _unreadable(name, "it is not a mapping of names to tensors", "The file holds no tensors, or more.")
    known = [entry for entry in entries if entry in ENTRIES]
    if len(known) != 1:
        raise _choose(name, "has several sets of tensors" if known else "has no entry with a usual name", entries)
    return dict(content[known[0]]), known[0]


def is_tensors(content: object) -> bool:
    """Say whether something is a mapping of names to tensors, and holds some."""
    from torch import Tensor

    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def without_prefix(
    tensors: dict[str, Tensor], name: str, prefix: str | None, fits: Callable[[Iterable[str]], bool]
) -> tuple[dict[str, Tensor], str]:
    """Return the tensors without the prefix of their names, and the prefix.

    A recipe's `prefix` selects the names that begin with it. Without one, usual prefixes that all names have are
    removed until a name `fits` the model. EdgekitError (``recipe``) if no name begins with `prefix`.
    """
    if prefix is not None:
        selected = _removed(tensors, prefix)
        if not selected:
            known = ", ".join(sorted({f"{key.partition('.')[0]}." for key in tensors})[:10])
            message = f"No tensor of {name} begins with the recipe's `weights.prefix` {prefix}."
            raise EdgekitError(FailureKind.recipe, "weights", message, f"Names begin with: {known}")
        return selected, prefix
    removed = ""
    while not fits(tensors) and (common := _common_prefix(tensors)):
        tensors, removed = _removed(tensors, common), removed + common
    return tensors, removed


def check_finite(model: nn.Module, name: str) -> None:
    """EdgekitError (``recipe``) if a tensor of the model holds NaN or infinity: the first such tensors are named."""
    state = model.state_dict().items()
    bad = [key for key, value in state if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        shown = ", ".join(bad[:10]) + (f" and {len(bad) - 10} more" if bad[10:] else "")
        message = f"{name} holds NaN or infinite values in {shown}."
        hint = "The training may have diverged. Use an earlier checkpoint."
        raise EdgekitError(FailureKind.recipe, "weights", message, hint)


def check_finite_outputs(outputs: Mapping[str, Any], name: str) -> None:
    """EdgekitError (``recipe``) if PyTorch's outputs (arrays) are not finite: no artifact can be compared with them."""
    for output, values in outputs.items():
        if not np.isfinite(values).all():
            message = f"PyTorch's output {output} of {name} holds NaN or infinite values for a photo."
            hint = "The weights overflow, or a batch norm has a negative variance. Use another checkpoint."
            raise EdgekitError(FailureKind.recipe, "model", message, hint)


def part_label(entry: str, prefix: str) -> str:
    """Return which part of a checkpoint was taken, for progress and manifests; empty for all of it."""
    return ", ".join(f"{what} {which}" for what, which in (("entry", entry), ("prefix", prefix)) if which)


def prefix_hint(keys: Collection[str], own: Collection[str]) -> str:
    """Return a hint that names the prefixes of a checkpoint's keys that, once removed, give names of the model."""
    ends = {own_key: own_key.split(".") for own_key in own}
    found: dict[str, int] = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts)):
            if ".".join(parts[length:]) in ends:
                prefix = ".".join(parts[:length]) + "."
                found[prefix] = found.get(prefix, 0) + 1
    if not found:
        return ""
    shown = ", ".join(
        f"{prefix} ({count} tensors)" for prefix, count in sorted(found.items(), key=lambda pair: -pair[1])[:5]
    )
    return f"If the model's names have a prefix in the file, give it as `weights.prefix`. Found: {shown}."


def _load(checkpoint: Path, name: str) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if is_safetensors(checkpoint):
            return load_file(checkpoint)
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        if needed := UNSUPPORTED.search(str(error)):
            hint = "Save only the tensors on the training machine: torch.save(model.state_dict(), FILE)"
            raise _unreadable(name, f"it needs the class {needed[1]}, and edgekit runs no code of it", hint) from error
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise _unreadable(name, first, "The file is damaged, or holds more than tensors.") from error


def _harmless() -> list[Any]:
    """Return what training scripts save beside tensors and what can run no code: NumPy's scalars, and arguments."""
    kinds = (np.bool_, np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8)
    dtypes = [type(np.dtype(kind)) for kind in kinds]
    scalar = np.float64(0).__reduce__()[0]
    places = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # NumPy 1's and 2's
    return [argparse.Namespace, np.dtype, *dtypes, *((scalar, place) for place in places)]


def _common_prefix(tensors: Mapping[str, Tensor]) -> str:
    keys = tensors.keys() - COUNTERS
    return next((prefix for prefix in PREFIXES if keys and all(key.startswith(prefix) for key in keys)), "")


def _removed(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _unreadable(name: str, why: str, hint: str) -> EdgekitError:
    return EdgekitError(FailureKind.recipe, "weights", f"{name} cannot be read as a checkpoint of tensors: {why}", hint)


def _choose(name: str, what: str, entries: list[str]) -> EdgekitError:
    hint = f"Choose one in the recipe: `weights.entry`, one of {', '.join(entries)}." if entries else ""
    return EdgekitError(FailureKind.recipe, "weights", f"{name} {what}.", hint)
