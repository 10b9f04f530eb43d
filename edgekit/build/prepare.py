"""From a recipe to a model with weights: check of the contract, loading of weights, PyTorch's outputs on photos.

The result is a folder. All targets compile from it, so they start from the same numbers.
:func:`prepare` runs in a separate process (:mod:`edgekit.build.worker`); nothing else here imports torch.
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
from pydantic import BaseModel

from edgekit.architectures import own
from edgekit.architectures.inputs import Inputs
from edgekit.architectures.registry import ARCHITECTURES
from edgekit.build.examples import examples_of
from edgekit.build.jobs import PrepareJob
from edgekit.build.photos import PhotoSet, default_photos, parity_photos
from edgekit.build.worker import Workers
from edgekit.cache.store import cached_folder, file_sha256
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError, FailureKind, missing_converters
from edgekit.recipe.own_model import OwnModel
from edgekit.recipe.schema import Recipe
from edgekit.weights.checkpoints import Resolved
from edgekit.weights.tensors import check_finite, check_finite_outputs

if TYPE_CHECKING:
    from torch import nn

    from edgekit.architectures.cost import Cost


class Prepared(BaseModel):
    """A model that is ready to be compiled; `folder` holds state.safetensors, calibration.npz, parity.npz, reference.npz.

    `calibration` says what calibration.npz shows: how many images of how many photos, chosen how, by which seed.
    `peak_activations` is the largest number of activations that are alive together (:mod:`edgekit.architectures.memory`).
    """

    folder: Path
    key: str
    parameters: int
    multiply_adds: int
    contract: str
    photos_sha256: str
    checkpoint_part: str = ""
    peak_activations: int | None = None
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


def foreign_source_hash(recipe: Recipe) -> str:
    """Return the SHA-256 over the sources of a recipe's network that are not edgekit's: a plug-in's, or the user's own.

    Values of the user's inputs count too. Empty for edgekit's own architectures.
    """
    if isinstance(recipe.model, OwnModel):
        values = [file_sha256(Path(spec.values)) for spec in recipe.model.inputs.values() if spec.values]
        return "\n".join([own.source_sha256(recipe.model.source), *values])
    return plugged_source_hash(recipe.architecture)


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
        source_hash("architectures", "weights", "build/prepare.py", "build/examples.py", "build/photos.py"),
        foreign_source_hash(recipe),
    ]
    fixed = [default_photos().sha256, parity_photos().sha256]
    parts = [recipe.model_hash, resolved.identity, photos.sha256, str(photos.own), *fixed, *tools, *sources]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def make(folder: Path) -> None:
        job = PrepareJob(
            recipe=recipe,
            checkpoint=resolved.checkpoint.path if resolved.checkpoint else None,
            seed=resolved.seed,
            trained=resolved.trained or resolved.checkpoint is not None,
            photos=photos.paths,
            own_photos=photos.own,
            folder=folder,
        )
        with Workers() as workers:
            facts = workers.call(job, logs / "model.log", modules=("torch", "edgekit.build.prepare"))
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    folder, _ = cached_folder(cache_folder() / "models", key, make)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return Prepared(folder=folder, key=key, photos_sha256=photos.sha256, **facts)


def prepare(job: PrepareJob) -> dict[str, Any]:
    """Build, check and fill the model of `job`, and write its folder; returns parameters, multiply_adds and contract.

    EdgekitError: ``contract`` if the counts are not as expected, ``recipe`` if a checkpoint does not fit.
    """
    from safetensors.torch import save_file

    from edgekit.architectures.memory import BYTES_PER_VALUE, peak_of
    from edgekit.architectures.outputs import named_outputs

    recipe = job.recipe
    facts = check_contract(recipe)
    examples = examples_of(recipe, PhotoSet(job.photos, "", job.own_photos), random=not job.trained)
    parts: list[str] = []
    checkpoint = str(job.checkpoint) if job.checkpoint else None
    model = build_model(recipe, checkpoint, job.seed, examples.settle, parts.append)
    reference = [named_outputs(model, *example.tensors()) for example in examples.parity]
    folder = job.folder
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}, folder / "state.safetensors"
    )
    examples.calibration.save(folder / "calibration.npz")
    examples.parity.save(folder / "parity.npz")
    outputs: dict[str, Any] = {
        name: np.concatenate([output[name].numpy() for output in reference]) for name in reference[0]
    }
    check_finite_outputs(outputs, recipe.name)
    np.savez(folder / "reference.npz", **outputs)
    return {
        **facts,
        "checkpoint_part": "".join(parts),
        "peak_activations": peak_of(model, *examples.parity[:1].tensors()).bytes // BYTES_PER_VALUE,
        "calibration": examples.chosen,
        "warnings": examples.warnings,
    }


def check_contract(recipe: Recipe) -> dict[str, Any]:
    """Count the recipe's model and compare with what it expects; EdgekitError (``contract``) if they differ."""
    counted = count_model(recipe)
    expected = recipe.expectation
    if expected and (counted.parameters, counted.multiply_adds) != (expected.parameters, expected.multiply_adds):
        raise EdgekitError(
            FailureKind.contract,
            "model",
            f"{recipe.name} at {recipe.model.variant} has {counted.parameters:,} parameters and {counted.multiply_adds:,} "
            f"multiply-adds; its recipe expects {expected.parameters:,} and {expected.multiply_adds:,}.",
            "Correct the architecture, or the recipe's `expect`.",
        )
    return {
        "parameters": counted.parameters,
        "multiply_adds": counted.multiply_adds,
        "contract": "met" if expected else "no contract",
    }


def count_model(recipe: Recipe) -> Cost:
    """Count the recipe's model; of edgekit's own architectures nothing is allocated."""
    from edgekit.architectures.cost import cost, count_foreign

    if isinstance(recipe.model, OwnModel):
        return count_foreign(own_network(recipe), *recipe.model.input_shapes().values())
    return cost(recipe.architecture, recipe.model.size, **recipe.model.architecture_arguments())


def own_network(recipe: Recipe) -> nn.Module:
    """Return the network of a recipe's source, with names for its outputs; the user's code runs here.

    EdgekitError (``own_model``) for any error that it raises, and for inputs that it rejects.
    """
    model = recipe.model
    assert isinstance(model, OwnModel)
    return with_names(own.load_source(model.source, model.options), model)


def with_names(network: nn.Module, model: OwnModel) -> nn.Module:
    """Run a user's network once, and return it with names for its outputs; errors as of :func:`own_network`."""
    import torch

    zeros = [torch.zeros(1, *shape) for shape in model.input_shapes().values()]
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in model.input_shapes().items())
    with own.user_code(model.source, f"running it on {shapes} raised"), torch.no_grad():
        results = network(*zeros)
    return own.with_named_outputs(network, results, model.outputs, "logits" if model.task else "output", model.source)


def network_of(recipe: Recipe) -> nn.Module:
    """Return the recipe's network in eval mode, with the weights that its code sets."""
    from edgekit.architectures.registry import build

    if isinstance(recipe.model, OwnModel):
        return own_network(recipe)
    return build(recipe.architecture, **recipe.model.architecture_arguments())


def build_model(
    recipe: Recipe,
    checkpoint: str | None,
    seed: int | None,
    settle: Inputs,
    on_part: Callable[[str], None] | None = None,
) -> nn.Module:
    """Return the recipe's model in eval mode, with its checkpoint, or random weights settled on examples of its inputs.

    A checkpoint and a `seed` are the checkpoint with a new head; neither are the weights that the user's own code gives.
    `on_part` takes which part of the checkpoint was loaded.
    """
    import torch

    from edgekit.architectures.blocks import settle_batch_norm
    from edgekit.backends.quantization.float_layers import keep_in_float
    from edgekit.weights.checkpoints import load_checkpoint

    torch.manual_seed(seed or 0)
    model = network_of(recipe)
    weights = recipe.weights
    keep_in_float(model, recipe.quantization.float_layers)
    if checkpoint:
        head = seed is not None
        part = load_checkpoint(model, Path(checkpoint), weights.key_map, head, weights.entry, weights.prefix)
        if on_part:
            on_part(part)
    elif seed is not None:
        settle_batch_norm(model, settle.tensors())
        check_finite(model, f"{recipe.name} with random weights")
    else:
        check_finite(model, f"{recipe.name} with its own weights")
    return model


def load_prepared(recipe: Recipe, folder: Path) -> nn.Module:
    """Return the model of a prepared folder, in eval mode."""
    from safetensors.torch import load_file

    from edgekit.backends.quantization.float_layers import keep_in_float

    model = network_of(recipe)
    keep_in_float(model, recipe.quantization.float_layers)
    model.load_state_dict(load_file(folder / "state.safetensors"), strict=True)
    return model
