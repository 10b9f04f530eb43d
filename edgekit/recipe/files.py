"""Recipe files: the list of those that are found by name, a commented one to start from, and keys that are written."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from importlib.resources import files
from io import SEEK_END, StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.util import load_yaml_guess_indent

from edgekit.architectures import own
from edgekit.architectures.registry import ARCHITECTURES, Task
from edgekit.config.json_document import JsonDocument
from edgekit.config.paths import find_document
from edgekit.config.yaml import NAME
from edgekit.errors import EdgekitError, FailureKind, UsageError, did_you_mean, printable
from edgekit.published import accuracy_range, find
from edgekit.recipe.arguments import ModelArguments
from edgekit.recipe.loading import known_recipes, load_recipe
from edgekit.recipe.schema import Recipe
from edgekit.recipe.weights import Weights
from edgekit.target import KNOWN_TARGETS

RESOLUTIONS: dict[Task, int] = {"classification": 224, "detection": 320, "segmentation": 513}
"""Task -> pixels of the input that most of its networks are published at; the others say so in ARCHITECTURES."""
FITS: dict[Task, tuple[str, float]] = {
    "classification": ("crop", 0.875),
    "detection": ("stretch", 1.0),
    "segmentation": ("stretch", 1.0),
}
"""Task -> how photos become inputs: the fit and the crop fraction."""

TEMPLATE = """\
# `edgekit inspect` shows what this recipe's model costs, `edgekit deploy` builds and times it.
name: {name}
description: {architecture} {variant} # one line for `edgekit recipe list`
architecture: {architecture} # known: {architectures}
model:
{width}  resolution: {resolution} # side of the square input, in pixels; its height if input_width is given
  classes: {classes}
  padding: {padding} # same (as TensorFlow: depends on the input's size) or torch (kernel // 2 on both sides)
  batch_norm_epsilon: {batch_norm_epsilon} # 0.001 in TensorFlow Slim, 0.00001 in PyTorch
weights: # random and seeded: latency is valid, accuracy is not. For a checkpoint write these instead:
  random: 0
  # url: https://example.org/model.pth
  # sha256: 0123abcd # the file's hash, or its first 8 digits or more
  # key_map: torchvision_mobilenet_v3_large # if the checkpoint's keys differ from edgekit's
  # entry: model_ema # if the file holds several sets of tensors
  # prefix: student. # if only names with this prefix are the model's
  # fallback: {{random: 0}} # used, with a warning, if the file is not available
preprocessing: # what the weights were trained with
  fit: {fit} # crop: shorter side to resolution / crop_fraction, then the centre; stretch: the whole photo
  crop_fraction: {crop_fraction}
  interpolation: bilinear # or bicubic
  mean: {mean} # per channel, of pixels from 0 to 1
  std: {std}
expect: # counted when this file was written, by variant; a build with other counts fails
  {variant}: {{parameters: {parameters}, multiply_adds: {multiply_adds}}}
# class_names: names.txt # the outputs of a model of your own in their order, a name a line; or a list: [cat, dog, ...]
# targets: # what is compiled unless --target says otherwise; these are the defaults
{targets}
"""

OWN_COMMENT = """\
# `edgekit inspect` shows what this recipe's model costs, `edgekit deploy` builds and times it. Both run its source's code.
"""
OWN_COMMENTS = {
    "source": "file.py:function (relative to this file), package.module:function, or file.pt2",
    "inputs": "the arguments in order, without the batch; values: file.npy gives examples of an input",
    "weights": "source: trained | untrained (as the code returns them), random: SEED, or a checkpoint: file, url, sha256",
    "preprocessing": "what the weights were trained with",
    "expect": "counted when this file was written; a build with other counts fails",
}
"""Key of a recipe for a network of the user's own -> its comment."""

PIXEL_RANGES = {
    "same": ("[0.5, 0.5, 0.5]", "[0.5, 0.5, 0.5]"),  # TensorFlow Slim: -1 to 1
    "torch": ("[0.485, 0.456, 0.406]", "[0.229, 0.224, 0.225]"),  # torchvision: ImageNet's mean and deviation
}
"""Padding -> mean and std. The padding shows which framework an architecture's weights come from."""


class RecipeLine(BaseModel):
    """One recipe file; if it cannot be loaded, `problem` says why and the rest is empty.

    `resolution` is ``224``, or ``HEIGHTxWIDTH`` if the input is not square. Parameters and multiply-adds are the counts of
    the recipe's contract; null if it has none. The accuracies are published, for the sources' weights;
    null if nothing is published for this network.
    """

    name: str
    description: str = ""
    architecture: str = ""
    variant: str = ""
    resolution: str = ""
    parameters: int | None = None
    multiply_adds: int | None = None
    accuracy_published_low: float | None = None
    accuracy_published_high: float | None = None
    accuracy_metric: str | None = None
    weights: str = ""
    file: str
    problem: str = ""


class RecipesDocument(JsonDocument):
    """What ``edgekit recipe list --json`` prints."""

    recipes: list[RecipeLine]


def list_recipes() -> RecipesDocument:
    """Return every recipe that is found by name, those with errors too, by name."""
    return RecipesDocument(recipes=[_line(name, path) for name, path in sorted(known_recipes().items())])


def new_recipe(name: str, architecture: str, output: Path | None = None) -> Path:
    """Write a commented recipe to `output`, else to ``recipes/NAME.yaml`` of the current folder, and return its path.

    The model is the published one at width 1.0 with random weights, and its counts are the contract.
    UsageError for an invalid architecture, a name that is invalid or taken, and a file that cannot be written.
    """
    path = _new_path(name, output)
    if architecture not in ARCHITECTURES:
        raise UsageError(f"Unknown architecture {architecture}.", did_you_mean(architecture, ARCHITECTURES))
    _write(_starting_text(name, architecture), path)
    return path


def own_recipe(recipe: Recipe, assumed: Sequence[str], output: Path | None = None) -> Path:
    """Write the recipe of a network of the user's own with comments, as :func:`new_recipe` does, and return its path.

    `assumed` are sentences on what the user should check; they become comments.
    """
    path = _new_path(recipe.name, output)
    content = CommentedMap(_stated(recipe.model_dump(mode="json", exclude_defaults=True)))
    model = content["model"] = CommentedMap(content["model"])
    source, function = own.parts(model["source"])
    if source.endswith((".py", ".pt2")):
        place = os.path.relpath(source, path.parent)
        model["source"] = f"{place}:{function}" if function else place
    model["inputs"] = {name: _shape(spec["shape"]) for name, spec in model["inputs"].items()}
    comments = "".join(f"# assumed: {assumption}\n" for assumption in assumed)
    text = StringIO(f"{OWN_COMMENT}{comments}")
    text.seek(0, SEEK_END)
    for key, comment in OWN_COMMENTS.items():
        part = model if key in model else content
        if key in part:
            part.yaml_add_eol_comment(comment, key)
    yaml = YAML()
    yaml.width = 4096
    yaml.dump(content, text)
    _write(text.getvalue(), path)
    return path


def _shape(sides: Sequence[int]) -> Any:
    """Return a shape as people write it: ``3x96x96``, or a list of one number."""
    return "x".join(map(str, sides)) if len(sides) > 1 else list(sides)


def _stated(content: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing: null and empty lists."""
    return {
        key: _stated(value) if isinstance(value, dict) else value
        for key, value in content.items()
        if value is not None and value != []
    }


def write_recipe(recipe: Recipe, folder: Path, about: str) -> Path:
    """Write a recipe, under a comment, to ``folder/NAME.yaml`` and return its path; UsageError as :func:`new_recipe`."""
    text = StringIO(f"# {about}\n")
    text.seek(0, SEEK_END)
    YAML().dump(_stated(recipe.model_dump(mode="json", exclude_defaults=True)), text)
    path = folder / f"{recipe.name}.yaml"
    _write(text.getvalue(), path)
    return path


def write_float_layers(source: Path, names: Sequence[str], file: Path) -> None:
    """Write the recipe file `source` with these ``quantization.float_layers`` to `file`. Comments stay.

    `file` may be `source` itself. UsageError if it cannot be written.
    """
    try:
        file.write_text(with_float_layers(source, names), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", "Choose another with --output.") from error


def with_float_layers(path: Path, names: Sequence[str]) -> str:
    """Return the text of a recipe file with these ``quantization.float_layers``."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # long lines of the file stay one line
    content, indent, offset = load_yaml_guess_indent(path.read_text(encoding="utf-8"), yaml=yaml)
    yaml.indent(mapping=2, sequence=indent or 4, offset=2 if offset is None else offset)
    content.setdefault("quantization", CommentedMap())["float_layers"] = list(names)
    text = StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def destination(name: str, output: Path | None) -> tuple[Path, Path | None]:
    """Return the file of the recipe `name`, and the file to write a changed recipe to.

    That is `output`, else the recipe's own file. It is None if this file is edgekit's own or cannot be written.
    UsageError if `output` exists, or its folder does not.
    """
    source = find_document("recipe", "recipes", "EDGEKIT_RECIPES", name)
    if output is None:
        shipped = source.resolve().is_relative_to(Path(str(files("edgekit"))).resolve())
        return source, None if shipped or not os.access(source, os.W_OK) else source
    if output.exists():
        raise UsageError(f"{output} exists already.", "Choose another file with --output.")
    if not os.access(output.parent, os.W_OK):
        raise UsageError(f"{output} cannot be written.", "Choose another file with --output.")
    return source, output


def _new_path(name: str, output: Path | None) -> Path:
    """Return the path of a new recipe; UsageError for a name that is invalid or taken."""
    if not NAME.fits(name) or name.endswith((".yaml", ".yml")):
        raise UsageError(f"{name!r} is not a name for a recipe.", f"Write {NAME.wanted}; a path goes to --output.")
    if output is None and name in (known := known_recipes()):
        hint = "Choose another name, or another place with --output."
        raise UsageError(f"There is a recipe named {name} already: {known[name]}.", hint)
    return output or Path("recipes") / f"{name}.yaml"


def _write(text: str, path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} exists already.", "Choose another name, or another place with --output.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another with --output.") from error


def _line(name: str, path: Path) -> RecipeLine:
    try:
        recipe = load_recipe(str(path))
    except EdgekitError as error:
        # Any error here means a recipe that cannot be used.
        return RecipeLine(
            name=name, file=printable(str(path)), problem=f"{FailureKind.recipe.label}: {error.failure.message}"
        )
    return RecipeLine(
        name=name,
        description=recipe.description,
        architecture=recipe.architecture,
        variant=recipe.model.variant,
        resolution=_resolution(recipe),
        **(recipe.expectation.model_dump(include={"parameters", "multiply_adds"}) if recipe.expectation else {}),
        **_published_accuracy(recipe),
        weights=_kind(recipe.weights),
        file=printable(str(path)),
    )


def _resolution(recipe: Recipe) -> str:
    return recipe.model.variant.split("/")[1]


def _published_accuracy(recipe: Recipe) -> dict[str, Any]:
    """Return what is published for a recipe's network in fp32; nothing if its recipe names no paper, or has a new head."""
    if recipe.published is None or recipe.weights.new_head is not None:
        return {}
    names = recipe.published.model_dump()
    found = find(**names, width=recipe.arguments.width, resolution=_resolution(recipe), precision="fp32")
    keys = ("accuracy_published_low", "accuracy_published_high", "accuracy_metric")
    return dict(zip(keys, accuracy_range(found, "fp32") or (None, None, None), strict=True))


def _kind(weights: Weights) -> str:
    """Return ``random(SEED)``, ``checkpoint``, or both if the seed is the fallback of the checkpoint."""
    if weights.random is not None:
        return f"random({weights.random})"
    return f"checkpoint, else random({weights.fallback.random})" if weights.fallback else "checkpoint"


def _starting_text(name: str, architecture: str) -> str:
    from edgekit.architectures.cost import cost

    known = ARCHITECTURES[architecture]
    parameters = inspect.signature(known.load(architecture)).parameters
    default = {key: parameter.default for key, parameter in parameters.items()}
    resolution, (fit, crop_fraction) = known.resolution or RESOLUTIONS[known.task], FITS[known.task]
    counted = cost(architecture, resolution)
    mean, std = PIXEL_RANGES[default["padding"]]
    built = ("classes", "padding", "batch_norm_epsilon")
    variant = ModelArguments(resolution=resolution, **{key: default[key] for key in built}).variant
    return TEMPLATE.format(
        name=name if isinstance(YAML(typ="safe").load(name), str) else f'"{name}"',  # such as 2024 or true
        architecture=architecture,
        architectures=", ".join(ARCHITECTURES),
        width="  width: 1.0 # width multiplier\n" if "width" in known.takes else "",
        resolution=resolution,
        variant=variant,
        fit=fit,
        crop_fraction=crop_fraction,
        classes=default["classes"],
        padding=default["padding"],
        batch_norm_epsilon=f"{default['batch_norm_epsilon']:.10f}".rstrip("0"),
        mean=mean,
        std=std,
        parameters=counted.parameters,
        multiply_adds=counted.multiply_adds,
        targets="\n".join(f"#   - {target}" for target in KNOWN_TARGETS),
    )
