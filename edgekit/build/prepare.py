"""From a recipe to a model with weights: the contract is checked, the weights loaded, PyTorch's outputs on photos computed.

The result is a folder that every target compiles from, so that all of them start from the same numbers. :func:`prepare` runs in a
process of its own (:mod:`edgekit.build.worker`); nothing else here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgekit.cache.store import cached_folder, file_sha256
from edgekit.errors import EdgekitError, FailureKind, UsageError, missing_converters
from edgekit.architectures.registry import ARCHITECTURES
from edgekit.weights.tensors import check_finite, check_finite_outputs
from edgekit.weights.checkpoints import Resolved
from edgekit.build.photos import PhotoSet, crops, default_photos, open_photo, parity_photos, preprocess
from edgekit.config.paths import cache_folder
from edgekit.recipe.schema import Recipe
from edgekit.build.worker import Workers

if TYPE_CHECKING:
    from torch import nn

Images = NDArray[np.float32]

SETTLE = (32, 0)
CALIBRATION = (64, 1)
PARITY = (64, 2)
"""How many crops, and their seed. The photos of parity are never those of calibration."""
RANDOM_CALIBRATION = (32, 1)
RANDOM_PARITY = (16, 2)
"""A network with random weights knows only the photos that its batch norm is settled on: it gets other crops of them.

Recoloured crops widen its ranges until nothing is left: EfficientNet-B0 has -19 dB with them and 10 dB without.
"""
FEW_PHOTOS = 32
"""With fewer photos of the user's, crops of them in turn make up the number."""
LITTLE_VARIETY = 0.25
"""Photos that differ from their mean by less than this share of their own contrast look alike."""
FLAT = 1e-3
"""A photo whose pixels vary by less, in units of the network's input, shows nothing."""
LARGE = 512 * 512
"""Pixels of an input beyond which there are fewer crops, at least two, so that all of them together do not grow."""


class Prepared(BaseModel):
    """A model that is ready to be compiled; `folder` holds state.safetensors, calibration.npy, parity.npy, reference.npz.

    `calibration` says what calibration.npy shows: how many images of how many photos, chosen how, by which seed.
    """

    folder: Path
    key: str
    parameters: int
    multiply_adds: int
    contract: str
    photos_sha256: str
    checkpoint_part: str = ""
    calibration: dict[str, Any]
    warnings: tuple[str, ...] = ()


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
    sources = [
        source_hash("architectures", "weights", "build/prepare.py", "build/photos.py"),
        plugged_source_hash(recipe.architecture),
    ]
    fixed = [default_photos().sha256, parity_photos().sha256]
    parts = [recipe.model_hash, resolved.identity, photos.sha256, str(photos.own), *fixed, *tools, *sources]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    job = {
        "stage": "model",
        "recipe": recipe.model_dump(mode="json"),
        "checkpoint": str(resolved.checkpoint.path) if resolved.checkpoint else None,
        "seed": resolved.seed,
        "photos": [str(path) for path in photos.paths],
        "own_photos": photos.own,
    }

    def make(folder: Path) -> None:
        with Workers() as workers:
            prepare_job, modules = {**job, "folder": str(folder)}, ("torch", "edgekit.build.prepare")
            facts = workers.call("edgekit.build.prepare:prepare", prepare_job, logs / "model.log", modules=modules)
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

    from edgekit.architectures.outputs import named_outputs

    recipe = Recipe.model_validate(job["recipe"])
    facts = check_contract(recipe)
    photos = PhotoSet(tuple(Path(path) for path in job["photos"]), "", job["own_photos"])
    random = job["checkpoint"] is None
    calibration, chosen, warnings = calibration_images(recipe, photos, random)
    parity = _crops(recipe, default_photos(), RANDOM_PARITY) if random else _crops(recipe, parity_photos(), PARITY)
    parts: list[str] = []
    settle = _crops(recipe, default_photos(), SETTLE)
    model = build_model(recipe, job["checkpoint"], job["seed"], settle, parts.append)
    reference = [named_outputs(model, torch.from_numpy(image[None])) for image in parity]
    folder = Path(job["folder"])
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "state.safetensors")
    np.save(folder / "calibration.npy", calibration)
    np.save(folder / "parity.npy", parity)
    outputs: dict[str, Any] = {name: np.concatenate([one[name].numpy() for one in reference]) for name in reference[0]}
    check_finite_outputs(outputs, recipe.name)
    np.savez(folder / "reference.npz", **outputs)
    return {**facts, "checkpoint_part": "".join(parts), "calibration": chosen, "warnings": warnings}


def calibration_images(recipe: Recipe, photos: PhotoSet, random: bool) -> tuple[Images, dict[str, Any], list[str]]:
    """Return images (N, 3, H, W) to calibrate on, how they were chosen, and what is to be said against them.

    Of the default photos they are varied crops, plain ones for `random` weights. The user's photos are shown as at evaluation,
    up to `calibration.count` of them in a seeded order; if they are few, crops of them are added. UsageError if no photo shows
    anything.
    """
    size, seed = recipe.model.size, CALIBRATION[1]
    if not photos.own:
        images = _crops(recipe, photos, RANDOM_CALIBRATION if random else CALIBRATION, varied=not random)
        kind = "plain" if random else "varied"
        chosen = {"choice": f"{kind} crops of the default photos", "photos": len(photos.paths)}
        return images, {**chosen, "images": len(images), "seed": seed}, []
    count = crop_count(recipe.calibration.count, size)
    order = np.random.default_rng(seed).permutation(len(photos.paths))[:count]
    found = [preprocess(open_photo(photos.paths[index]), recipe.preprocessing, size) for index in order]
    warnings = _shortcomings(np.stack(found))
    choice, shown = "photos as at evaluation", len(found)
    if len(found) < (wanted := min(count, FEW_PHOTOS)):
        few = PhotoSet(tuple(photos.paths[index] for index in order), "", own=True)
        found += list(crops(few, recipe.preprocessing, size, wanted - len(found), seed))
        choice += ", and crops of them"
    return np.stack(found), {"choice": choice, "photos": shown, "images": len(found), "seed": seed}, warnings


def _shortcomings(images: Images) -> list[str]:
    """Return what makes photos bad for calibration; UsageError if none of them shows anything."""
    flat = int((images.std((2, 3)).max(1) < FLAT).sum())
    if flat == len(images):
        message = f"Each of the {flat} calibration photos is one colour all over: no range can be found."
        raise UsageError(message, "Name a folder with photos of what the network will see: --photos DIR.")
    found = [f"{flat} of {len(images)} calibration photos are one colour all over."] if flat else []
    if len(images) < FEW_PHOTOS:
        advice = f"int8 is more accurate with {FEW_PHOTOS} or more."
        found.append(f"There are only {len(images)} calibration photos; {advice}")
    within = images.std((1, 2, 3)).mean()
    if len(images) > 1 and (images - images.mean(0)).std() < LITTLE_VARIETY * within:
        found.append("The calibration photos look alike: int8 may be wrong on photos that differ from them.")
    return found


def _crops(recipe: Recipe, photos: PhotoSet, chosen: tuple[int, int], *, varied: bool = False) -> Images:
    count, seed = chosen
    size = recipe.model.size
    return crops(photos, recipe.preprocessing, size, crop_count(count, size), seed, varied=varied)


def crop_count(count: int, size: tuple[int, int]) -> int:
    """Return how many of `count` crops there are at (height, width)."""
    return min(count, max(2, count * LARGE // (size[0] * size[1])))


def check_contract(recipe: Recipe) -> dict[str, Any]:
    """Count the recipe's model and compare with what it expects; EdgekitError (``contract``) where they differ."""
    from edgekit.architectures.cost import cost

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


def build_model(
    recipe: Recipe,
    checkpoint: str | None,
    seed: int | None,
    settle: Images,
    on_part: Callable[[str], None] | None = None,
) -> nn.Module:
    """Return the recipe's model in eval mode, with its checkpoint, or random weights settled on (N, 3, H, W) images.

    A checkpoint and a `seed` are the checkpoint with a new head. `on_part` takes which part of the checkpoint was loaded.
    """
    import torch

    from edgekit.architectures.registry import build
    from edgekit.architectures.blocks import settle_batch_norm
    from edgekit.backends.quantization.float_layers import keep_in_float
    from edgekit.weights.checkpoints import load_checkpoint

    torch.manual_seed(seed or 0)
    model = build(recipe.architecture, **recipe.model.architecture_arguments())
    weights = recipe.weights
    keep_in_float(model, recipe.quantization.float_layers)
    if checkpoint:
        head = seed is not None
        part = load_checkpoint(model, Path(checkpoint), weights.key_map, head, weights.entry, weights.prefix)
        if on_part:
            on_part(part)
    else:
        settle_batch_norm(model, torch.from_numpy(settle))
        check_finite(model, f"{recipe.name} with random weights")
    return model


def load_prepared(recipe: Recipe, folder: Path) -> nn.Module:
    """Return the model of a prepared folder, in eval mode."""
    from safetensors.torch import load_file

    from edgekit.architectures.registry import build
    from edgekit.backends.quantization.float_layers import keep_in_float

    model = build(recipe.architecture, **recipe.model.architecture_arguments())
    keep_in_float(model, recipe.quantization.float_layers)
    model.load_state_dict(load_file(folder / "state.safetensors"), strict=True)
    return model
