"""Checkpoints: a cache keyed by SHA-256, downloads that are verified, and key maps between naming schemes."""

from __future__ import annotations

import csv
import pickle
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from edgekit.cache import file_sha256
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.places import cache_folder
from edgekit.recipe import Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

TIMEOUT = httpx.Timeout(60, connect=5)  # seconds; an offline machine shall say so soon


@dataclass(frozen=True)
class Checkpoint:
    """A file in the cache and the full SHA-256 of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Resolved:
    """What a recipe's weights came to: a checkpoint, or a seed; `warning` where the seed is a fallback."""

    checkpoint: Checkpoint | None
    seed: int | None
    warning: str = ""

    @property
    def label(self) -> str:
        """What tables and manifests say: the checkpoint's file name, or ``random(SEED)``."""
        return self.checkpoint.path.name.split("-", 1)[1] if self.checkpoint else f"random({self.seed})"

    @property
    def identity(self) -> str:
        """What the artifacts depend on: the checkpoint's hash or ``random(SEED)``."""
        return self.checkpoint.sha256 if self.checkpoint else f"random({self.seed})"


def weights_folder() -> Path:
    """Return the folder of the checkpoint cache; files are named SHA256-NAME."""
    return cache_folder() / "weights"


def cached_checkpoints() -> list[Checkpoint]:
    """Return the checkpoints in the cache, by name."""
    found = [
        Checkpoint(path, path.name.partition("-")[0]) for path in weights_folder().glob("*-*") if len(path.name) > 65
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.path.name[65:])


def import_checkpoint(file: Path, sha256: str = "") -> Checkpoint:
    """Copy `file` into the cache; EdgekitError (``hash_mismatch``) where its hash does not begin with `sha256`."""
    if not file.is_file():
        raise UsageError(f"There is no file at {file}.")
    found = file_sha256(file)
    _check_hash(file.name, found, sha256)
    target = weights_folder() / f"{found}-{file.name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as folder:
        Path(shutil.copyfile(file, Path(folder) / file.name)).replace(target)
    return Checkpoint(target, found)


def resolve(weights: Weights) -> Resolved:
    """Find or download what a recipe asks for.

    EdgekitError (``weights_missing``, ``hash_mismatch``) where the file cannot be had and the recipe names no fallback. A file
    with the wrong hash is an error even where there is a fallback: it says that something is wrong, not that it is missing.
    """
    if weights.random is not None:
        return Resolved(None, weights.random)
    assert weights.url and weights.sha256  # the schema's promise
    for checkpoint in cached_checkpoints():
        if checkpoint.sha256.startswith(weights.sha256):
            return Resolved(checkpoint, None)
    try:
        return Resolved(_download(weights.url, weights.sha256), None)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError) as error:  # ImportError: a SOCKS proxy without its package
        name, folder = weights.url.rsplit("/", 1)[-1], weights_folder()
        missing = (
            f"The weights {name} (SHA-256 {weights.sha256}) are not in {folder} "
            f"and could not be downloaded: {_reason(error)}."
        )
        if weights.fallback is None:
            hint = f"Bring the file here and run: edgekit weights import {name} (in a checkout: `make weights`, for MobileNetV2)."
            raise EdgekitError(FailureKind.weights_missing, "weights", missing, hint, retriable=True) from error
        seed = weights.fallback.random
        return Resolved(
            None, seed, f"{missing} Random weights (seed {seed}) stand in: latencies hold, accuracy does not."
        )


def load_checkpoint(model: nn.Module, checkpoint: Path, key_map: str | None) -> None:
    """Load a cached checkpoint strictly, tensors only.

    EdgekitError (``recipe``) for a file that is damaged or holds code, and for missing, extra and misshapen keys, listed.
    """
    import torch

    name = checkpoint.name[65:]  # after the hash and its dash
    try:
        state: dict[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        message = f"{name} cannot be read as a checkpoint of tensors: {first}"
        raise EdgekitError(
            FailureKind.recipe, "weights", message, "The file is damaged, or holds more than tensors."
        ) from error
    if key_map:
        names = {row["torchvision"]: row["edgekit"] for row in read_key_map(key_map)}
        state = {names.get(key, key): value for key, value in state.items()}
    own = model.state_dict()
    problems = [f"missing {key}" for key in own if key not in state]
    problems += [f"extra {key}" for key in state if key not in own]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if problems:
        shown = "; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
        raise EdgekitError(FailureKind.recipe, "weights", f"{name} does not fit the model: {shown}.")
    model.load_state_dict(state, strict=True)


def read_key_map(name: str) -> list[dict[str, str]]:
    """Return the rows of a key map: columns torchvision, shape (``16x3x3x3``, empty for a scalar), edgekit."""
    file = files("edgekit.models") / "keymaps" / f"{name}.csv"
    if not file.is_file():
        raise EdgekitError(FailureKind.recipe, "weights", f"There is no key map named {name}.")
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def _download(url: str, sha256: str) -> Checkpoint:
    weights_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=weights_folder(), prefix=".download-") as folder:
        file = Path(folder) / url.rsplit("/", 1)[-1]
        with httpx.stream("GET", url, timeout=TIMEOUT, follow_redirects=True) as response, file.open("wb") as target:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                target.write(chunk)
        return import_checkpoint(file, sha256)


def _check_hash(name: str, found: str, wanted: str) -> None:
    if not found.startswith(wanted):
        raise EdgekitError(
            FailureKind.hash_mismatch,
            "weights",
            f"{name} has SHA-256 {found}, not {wanted} as asked for.",
            "The file is damaged or another one; get it again.",
        )


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
