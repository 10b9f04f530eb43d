"""From a recipe to a model with weights: the contract is checked, the weights loaded, PyTorch's outputs on photos computed.

The result is a folder that every target compiles from, so that all of them start from the same numbers. :func:`prepare` runs in a
process of its own (:mod:`edgekit.worker`); nothing else here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from edgekit.cache import cached_folder, file_sha256
from edgekit.errors import EdgekitError, FailureKind, missing_converters
from edgekit.models import ARCHITECTURES
from edgekit.models.weights import Resolved
from edgekit.photos import PhotoSet, crops
from edgekit.places import cache_folder
from edgekit.recipe import Recipe
from edgekit.worker import Workers

if TYPE_CHECKING:
    from torch import nn

CROPS = {"settle": (32, 0), "calibration": (32, 1), "parity": (16, 2)}
"""Purpose -> (how many crops, their seed). Parity photos are never calibration photos."""
LARGE = 512 * 512
"""Pixels of an input beyond which there are fewer crops, at least two, so that all of them together do not grow."""


class Prepared(BaseModel):
    """A model that is ready to be compiled; `folder` holds state.safetensors, calibration.npy, parity.npy, reference.npz."""

    folder: Path
    key: str
    parameters: int
    multiply_adds: int
    contract: str
    photos_sha256: str


def source_hash(*packages: str) -> str:
    """Return the SHA-256 over the sources and key maps of sub-packages or modules of edgekit, for build keys."""
    total = hashlib.sha256()
    for package in packages:
        root = Path(str(files("edgekit"))) / package
        found = (file for file in root.rglob("*") if file.suffix in {".py", ".csv"})
        for file in sorted(found) if root.is_dir() else [root]:
            total.update(file.relative_to(root.parent).as_posix().encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def plugged_source_hash(architecture: str) -> str:
    """Return the SHA-256 over all sources of the package that provides an architecture; empty for edgekit's own."""
    package = ARCHITECTURES[architecture].module.partition(".")[0]
    spec = find_spec(package)
    if package == "edgekit" or spec is None or spec.origin is None:
        return ""
    folders = spec.submodule_search_locations
    sources = [file for folder in folders for file in Path(folder).rglob("*.py")] if folders else [Path(spec.origin)]
    return hashlib.sha256("\n".join(sorted(map(file_sha256, sources))).encode()).hexdigest()


def prepare_cached(recipe: Recipe, resolved: Resolved, photos: PhotoSet, logs: Path) -> Prepared:
    """Return the prepared model, from the cache or from a fresh process; errors as :func:`prepare`."""
    try:
        tools = [version("torch"), version("pillow")]
    except PackageNotFoundError as error:
        raise missing_converters(error) from error
    sources = [source_hash("models", "photos.py"), plugged_source_hash(recipe.architecture)]
    parts = [recipe.build_hash, resolved.identity, photos.sha256, *tools, *sources]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    job = {
        "stage": "model",
        "recipe": recipe.model_dump(mode="json"),
        "checkpoint": str(resolved.checkpoint.path) if resolved.checkpoint else None,
        "seed": resolved.seed,
        "photos": [str(path) for path in photos.paths],
    }

    def make(folder: Path) -> None:
        with Workers() as workers:
            prepare_job, modules = {**job, "folder": str(folder)}, ("torch", "edgekit.models.prepare")
            facts = workers.call("edgekit.models.prepare:prepare", prepare_job, logs / "model.log", modules=modules)
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    folder, _ = cached_folder(cache_folder() / "models", key, make)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return Prepared(folder=folder, key=key, photos_sha256=photos.sha256, **facts)


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """Build, check and fill the model of `job`, and write its folder; returns parameters, multiply_adds and contract.

    EdgekitError: ``contract`` where the counts are not what the recipe expects, ``recipe`` where a checkpoint does not fit.
    """
    import torch
    from safetensors.torch import save_file

    from edgekit.models.outputs import named_outputs

    recipe = Recipe.model_validate(job["recipe"])
    facts = check_contract(recipe)
    photos = PhotoSet(tuple(Path(path) for path in job["photos"]), "")
    images = {
        purpose: crops(photos, recipe.preprocessing, recipe.model.size, crop_count(count, recipe.model.size), seed)
        for purpose, (count, seed) in CROPS.items()
    }
    model = build_model(recipe, job["checkpoint"], job["seed"], images["settle"])
    reference = [named_outputs(model, torch.from_numpy(image[None])) for image in images["parity"]]
    folder = Path(job["folder"])
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "state.safetensors")
    np.save(folder / "calibration.npy", images["calibration"])
    np.save(folder / "parity.npy", images["parity"])
    outputs: dict[str, Any] = {name: np.concatenate([one[name].numpy() for one in reference]) for name in reference[0]}
    np.savez(folder / "reference.npz", **outputs)
    return facts


def crop_count(count: int, size: tuple[int, int]) -> int:
    """Return how many of `count` crops there are at (height, width)."""
    return min(count, max(2, count * LARGE // (size[0] * size[1])))


def check_contract(recipe: Recipe) -> dict[str, Any]:
    """Count the recipe's model and compare with what it expects; EdgekitError (``contract``) where they differ."""
    from edgekit.models.cost import cost

    counted = cost(recipe.architecture, recipe.model.size, **recipe.model.architecture_arguments())
    expected = recipe.expectation
    if expected and (counted.parameters, counted.multiply_adds) != (expected.parameters, expected.multiply_adds):
        raise EdgekitError(
            FailureKind.contract,
            "model",
            f"{recipe.name} at {recipe.model.variant} has {counted.parameters:,} parameters and {counted.multiply_adds:,} "
            f"multiply-adds; its recipe expects {expected.parameters:,} and {expected.multiply_adds:,}.",
            "Mend the architecture, or the recipe's `expect`.",
        )
    return {
        "parameters": counted.parameters,
        "multiply_adds": counted.multiply_adds,
        "contract": "met" if expected else "no contract",
    }


def build_model(recipe: Recipe, checkpoint: str | None, seed: int | None, settle: np.ndarray[Any, Any]) -> nn.Module:
    """Return the recipe's model in eval mode, with its checkpoint, or random weights settled on (N, 3, H, W) images.

    A checkpoint and a `seed` are the checkpoint with a new head.
    """
    import torch

    from edgekit.models import build
    from edgekit.models.blocks import settle_batch_norm
    from edgekit.models.weights import load_checkpoint

    torch.manual_seed(seed or 0)
    model = build(recipe.architecture, **recipe.model.architecture_arguments())
    if checkpoint:
        load_checkpoint(model, Path(checkpoint), recipe.weights.key_map, new_head=seed is not None)
    else:
        settle_batch_norm(model, torch.from_numpy(settle))
    return model


def load_prepared(recipe: Recipe, folder: Path) -> nn.Module:
    """Return the model of a prepared folder, in eval mode."""
    from safetensors.torch import load_file

    from edgekit.models import build

    model = build(recipe.architecture, **recipe.model.architecture_arguments())
    model.load_state_dict(load_file(folder / "state.safetensors"), strict=True)
    return model
