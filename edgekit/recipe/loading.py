"""Loading recipes: by path or name, with overrides, with the class names of their file."""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.architectures import own
from edgekit.config.paths import find_document, known_documents
from edgekit.config.yaml import Override, load_document
from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.recipe.own_model import OwnModel
from edgekit.recipe.schema import Recipe, names_problem, published_for
from edgekit.redaction import redacted


def load_recipe(name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """Load the recipe at a path or of a known name, with ``key.key=value`` overrides.

    UsageError if it is missing or wrong.
    UsageError also if an override changes a model with a checkpoint and does not request random weights.
    If it changes only the number of classes, a new head is enough.
    """
    path = find_document("recipe", "recipes", "EDGEKIT_RECIPES", name)
    given = [Override(text, f"--set {text}") for text in overrides]
    named_here = any(override.keys[:1] == ["class_names"] for override in given)
    recipe = _with_names(load_document(Recipe, path, given), Path() if named_here else path.parent)
    sourced_here = any(override.keys[:1] == ["model"] for override in given)
    recipe = _with_source(recipe, Path() if sourced_here else path.parent)
    if not overrides:
        return recipe
    written = load_document(Recipe, path)
    if recipe.published == written.published:
        recipe = recipe.model_copy(update={"published": published_for(written, recipe.arguments)})
    if isinstance(recipe.model, OwnModel) or isinstance(written.model, OwnModel):
        return recipe
    if recipe.weights.random is None:
        with_classes = written.model.model_copy(update={"classes": recipe.model.classes})
        fits = (written.architecture, written.model if recipe.weights.new_head is None else with_classes)
        if fits != (recipe.architecture, recipe.model):
            which = redacted(recipe.weights.url or "") or recipe.weights.file
            raise UsageError(
                f"{recipe.name} has real weights ({which}), which fit only the model as the recipe states it.",
                "Request random weights too: --set 'weights={random: 0}'. If only the number of classes changes, "
                "request a new last layer: --set weights.new_head=0.",
                FailureKind.recipe,
            )
    return recipe


def load_known(overrides: tuple[str, ...] = ()) -> tuple[list[Recipe], dict[str, Failure]]:
    """Load every recipe that is found by name. Return the failures of the others by name."""
    recipes, failures = [], {}
    for name, path in sorted(known_recipes().items()):
        try:
            recipes.append(load_recipe(str(path), overrides))
        except EdgekitError as error:
            failures[name] = error.failure
    return recipes, failures


def known_recipes() -> dict[str, Path]:
    """Return name -> file of every recipe that is found without a path."""
    return known_documents("recipes", "EDGEKIT_RECIPES")


def _with_source(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with absolute paths of its source and inputs, which are relative to `folder`."""
    model = recipe.model
    if not isinstance(model, OwnModel):
        return recipe
    place, function = own.parts(model.source)
    if place.endswith((".py", ".pt2")):
        place = os.path.normpath((folder / Path(place).expanduser()).absolute())
    inputs = {
        name: spec.model_copy(update={"values": str((folder / Path(spec.values).expanduser()).absolute())})
        if spec.values
        else spec
        for name, spec in model.inputs.items()
    }
    changed = {"source": f"{place}:{function}" if function else place, "inputs": inputs}
    return recipe.model_copy(update={"model": model.model_copy(update=changed)})


def _with_names(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with the names of its file of class names, a path relative to `folder`; UsageError if it does not fit."""
    if not isinstance(recipe.class_names, str):
        return recipe
    path = folder / Path(recipe.class_names).expanduser()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        message = f"{recipe.name}: the class names in {path} cannot be read: {error}."
        hint = "Write one name a line, in UTF-8; the path is relative to the recipe."
        raise UsageError(message, hint, FailureKind.recipe) from error
    names = tuple(line for line in lines if line)
    if problem := names_problem(names, recipe.classes):
        hint = "Write one name a line, in the order of the model's outputs."
        raise UsageError(f"{path}: {problem}.", hint, FailureKind.recipe)
    return recipe.model_copy(update={"class_names": names})
