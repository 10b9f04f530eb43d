"""A recipe for a user's own network. A separate process asks the user's code for the facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from edgekit.architectures import own
from edgekit.architectures.cost import count_foreign
from edgekit.build.jobs import DescribeJob
from edgekit.build.prepare import with_names
from edgekit.build.worker import Workers
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.own_model import OwnModel, shape_of
from edgekit.recipe.schema import Expectation, Recipe
from edgekit.weights.checkpoints import import_checkpoint

if TYPE_CHECKING:
    from torch import nn

IMAGENET = {
    "crop_fraction": 0.875,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""The preprocessing of torchvision's classifiers: the default if none is stated."""
ASKED = ("inputs", "outputs", "task", "classes", "preprocessing", "class_names")
"""What the attribute ``edgekit`` of a user's function may state, in a recipe's words."""


@dataclass(frozen=True)
class Described:
    """A recipe for a network, and what was assumed in it: sentences for the user."""

    recipe: Recipe
    assumed: tuple[str, ...]


def running_code_of(source: str) -> str:
    """Return the notice that must be shown before a source's code runs."""
    return f"note: this runs the code of {source} on this machine."


def describe(
    source: str,
    inputs: tuple[str, ...],
    weights: str | None,
    name: str | None,
    progress: Callable[[str], None],
) -> Described:
    """Return a recipe for the network of `source`; its code runs, and `progress` says so before.

    `inputs` are shapes such as ``3x96x96``, or ``name=3x96x96``. `weights` is a checkpoint file, ``random``, ``trained`` or
    None: as the code returns them, taken as untrained. UsageError if a shape is missing or wrong, EdgekitError (``own_model``)
    for what the code raises.
    """
    place, function = own.parts(source)
    if place.endswith((".py", ".pt2")):
        place = str(Path(place).expanduser().absolute())
    source = f"{place}:{function}" if function else place
    progress(running_code_of(source))
    job = DescribeJob(source=source, inputs=_shapes(inputs), name=name or _name(source))
    with Workers() as workers:
        log = cache_folder() / "logs" / "own" / "describe.log"
        answer = workers.call(job, log, modules=("torch",))
    content = {**answer["recipe"], "weights": _weights(weights, source)}
    try:
        return Described(Recipe.model_validate(content), tuple(answer["assumed"]))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("("))
        raise UsageError(
            f"{own.short(source)}, {where}: {problem['msg']}.", "Write a recipe: edgekit recipe new"
        ) from error


def _name(source: str) -> str:
    """Return a name for the recipe of a source: that of its file, or of its function if that says more."""
    place, function = own.parts(source)
    stem = Path(place).stem if place.endswith((".py", ".pt2")) else place.rpartition(".")[2]
    text = stem if function in {"", "build", "model", "get_model", "make_model", "create_model"} else function
    return re.sub(r"[^a-z0-9_.-]+", "_", text.lower()).strip("_.-") or "own"


def _shapes(inputs: tuple[str, ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, text in enumerate(inputs):
        name, equals, shape = text.partition("=")
        if not equals:
            name, shape = "image" if len(inputs) == 1 else f"input_{index}", text
        try:
            found[name] = list(shape_of(shape))
        except ValueError as error:
            raise UsageError(f"--input {text}: {error}.", "For example: --input 3x96x96") from error
    return found


def _weights(weights: str | None, source: str) -> dict[str, Any]:
    match weights:
        case None:
            return {"source": "trained" if source.endswith(".pt2") else "untrained"}
        case "trained" | "untrained":
            return {"source": weights}
        case "random":
            return {"random": 0}
        case file:
            checkpoint = import_checkpoint(Path(file).expanduser())
            return {"file": checkpoint.name, "sha256": checkpoint.sha256}


def ask(job: DescribeJob) -> dict[str, Any]:
    """Build the network of a source, run it once, and return its recipe without weights, and what was assumed."""
    source = job.source
    stated = dict(own.attributes(source))
    if unknown := sorted(stated.keys() - set(ASKED)):
        message = f"{own.short(source)}: its attribute `edgekit` has unknown keys: {', '.join(unknown)}."
        raise EdgekitError(FailureKind.own_model, "model", message, f"Known: {', '.join(ASKED)}.")
    network = own.load_source(source, {})
    timm = _timm(network)
    inputs = job.inputs or stated.get("inputs") or timm.get("inputs") or _exported_inputs(source)
    if not inputs:
        message = f"{own.short(source)} does not say what its inputs are."
        hint = "State it: --input 3x224x224 (channels, height, width); for several: --input a=3x96x96 --input b=10"
        raise UsageError(message, hint)
    model: dict[str, Any] = {
        "source": source,
        "inputs": inputs,
        **{key: stated[key] for key in ("outputs", "task", "classes") if key in stated},
    }
    own_model = OwnModel.model_validate({**model, "options": {}})
    assumed: list[str] = []
    content: dict[str, Any] = {"name": job.name, "model": model}
    content |= {"class_names": stated["class_names"]} if "class_names" in stated else {}
    if own_model.takes_photos:
        preprocessing = stated.get("preprocessing") or timm.get("preprocessing")
        if preprocessing is None:
            assumed.append(
                "preprocessing: that of torchvision's ImageNet classifiers. Accuracy depends on it; latency does not."
            )
        content["preprocessing"] = preprocessing or IMAGENET
    network = with_names(network, own_model)
    if own_model.task is None and (classes := _classes(network, own_model)):
        model |= {"task": "classification", "classes": classes}
        assumed.append(f"task: classification with {classes} classes, because it returns one row of {classes} numbers.")
    counted = count_foreign(network, *own_model.input_shapes().values())
    if counted.parameters and counted.multiply_adds:
        expected = Expectation(parameters=counted.parameters, multiply_adds=counted.multiply_adds)
        content["expect"] = {own_model.variant: expected.model_dump()}
    return {"recipe": content, "assumed": assumed}


def _timm(network: nn.Module) -> Mapping[str, Any]:
    """Return input, preprocessing and classes of a network with timm's interface. Empty for others."""
    config: Any = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None)
    config = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(config, Mapping) or "input_size" not in config:
        return {}
    found: dict[str, Any] = {"inputs": {"image": list(config["input_size"])}}
    if {"mean", "std", "interpolation"} <= config.keys():
        found["preprocessing"] = {
            "crop_fraction": config.get("crop_pct") or 0.875,
            "interpolation": config["interpolation"],
            "mean": list(config["mean"]),
            "std": list(config["std"]),
        }
    return found


def _exported_inputs(source: str) -> dict[str, list[int]]:
    """Return the inputs that an exported program was made for; none for a function."""
    if not source.endswith(".pt2"):
        return {}
    shapes = [list(shape[1:]) for shape in own.exported_shapes(source)]
    return {"image": shapes[0]} if len(shapes) == 1 else {f"input_{index}": shape for index, shape in enumerate(shapes)}


def _classes(network: nn.Module, model: OwnModel) -> int | None:
    """Return the number of classes if the only output is a row of several numbers, as a classifier's."""
    import torch

    from edgekit.architectures.outputs import named_outputs

    outputs = named_outputs(network, *(torch.zeros(1, *shape) for shape in model.input_shapes().values()))
    (first, *others) = outputs.values()
    return int(first.shape[1]) if not others and first.ndim == 2 and first.shape[1] > 1 and model.takes_photos else None
