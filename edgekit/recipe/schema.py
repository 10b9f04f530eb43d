"""Recipes: what to build. Schema, loading, hashing."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from edgekit.architectures import own
from edgekit.architectures.options import OPTIONS, checked
from edgekit.architectures.options import schema as option_schema
from edgekit.architectures.registry import ARCHITECTURES, Task
from edgekit.config.yaml import Name, Strict, UnfittingError
from edgekit.errors import EdgekitError, FailureKind, UsageError, did_you_mean
from edgekit.published.figures import figures
from edgekit.recipe.arguments import ModelArguments
from edgekit.recipe.limits import ParityLimits, Share
from edgekit.recipe.own_model import OwnModel
from edgekit.recipe.weights import RandomWeights, Weights
from edgekit.target import KNOWN_TARGETS, Target

VARIANT = re.compile(r"\d+(\.\d+)?/\d+(x\d+)?(/\d+)?(/[a-z_]+=[^/=]+)*")


OWN_VARIANT = re.compile(r"\d+(x\d+)*(,\d+(x\d+)*)*(/.+)?")


MODEL_PARTS = frozenset({"architecture", "model", "weights", "preprocessing", "calibration", "parity", "expect"})
"""Keys of a recipe that the prepared model depends on."""


class Grid(Strict):
    """Variants of a model: every combination of these values. Other arguments keep the recipe's values."""

    width: tuple[Annotated[float, Field(gt=0, le=4)], ...] = ()
    resolution: tuple[Annotated[int, Field(ge=32, le=2048)], ...] = ()
    depth: tuple[Annotated[float, Field(gt=0, le=8)], ...] = ()

    def combinations(self) -> list[dict[str, float]]:
        """Return the changed arguments of each variant, in the order of the values."""
        named = {key: values for key, values in self.model_dump().items() if values}
        return [dict(zip(named, chosen, strict=True)) for chosen in product(*named.values())]


class Variants(Strict):
    """The variants of a recipe. Variants other than the recipe's model have random `weights`."""

    weights: RandomWeights | None = None
    grids: Annotated[tuple[Grid, ...], Field(min_length=1)]


class Preprocessing(Strict):
    """From a photo to the network's input: resize, centre crop, (x / 255 - mean) / std.

    The shorter side is resized to resolution / crop_fraction before the centre crop. With `fit` ``stretch`` nothing is cropped:
    the whole photo is resized to the input, as detectors and segmenters are used.
    """

    fit: Literal["crop", "stretch"] = "crop"
    crop_fraction: Annotated[float, Field(gt=0, le=1)]
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class Expectation(Strict):
    """What a variant must cost; counted as :mod:`edgekit.architectures.cost` says."""

    parameters: Annotated[int, Field(gt=0)]
    multiply_adds: Annotated[int, Field(gt=0)]


class Calibration(Strict):
    """Photos that int8 is calibrated on, instead of edgekit's: a folder, and how many of them at most.

    A relative path is one of the current folder. ``--photos DIR`` on the command line replaces `photos`.
    """

    photos: str | None = None
    count: Annotated[int, Field(ge=1, le=4096)] = 256


class Quantization(Strict):
    """How int8 is made. `float_layers` are modules of the PyTorch model that int8 artifacts compute in float.

    ``edgekit quantize`` finds them and writes them.
    """

    float_layers: tuple[str, ...] = ()

    @field_validator("float_layers")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"a layer is listed more than once: {', '.join(twice)}")
        return names


class Published(Strict):
    """The name under which papers print figures for this model (:mod:`edgekit.published`).

    They are of the recipe's own options (depth, output stride, ...): a recipe whose options are overridden has none.
    """

    model: str
    variant: str = ""
    head: str = ""

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        known = {figure.model for figure in figures()}
        if model not in known:
            raise ValueError(f"there are no published figures of {model}. {did_you_mean(model, known)}")
        return model


ClassNames = Annotated[str | tuple[Annotated[str, Field(min_length=1)], ...], Field(union_mode="left_to_right")]
"""The names of a model's outputs, in their order; or the path of a text file with one name a line."""


OWN, OF_ARCHITECTURE = "(own model)", "(architecture)"
"""Tags of the two kinds of `Recipe.model`. Text in brackets is not part of an error's place."""


def _options_of_each(schema: dict[str, Any]) -> None:
    """Add to the JSON Schema of recipes which options each architecture takes."""
    takers: dict[tuple[str, ...], list[str]] = {}
    for name, known in ARCHITECTURES.items():
        takers.setdefault(known.takes, []).append(name)
    fixed = [key for key in ModelArguments.model_fields if key != "width"]
    schema["allOf"] = [
        {
            "if": {"properties": {"architecture": {"enum": names}}, "required": ["architecture"]},
            "then": {
                "properties": {
                    "model": {
                        "properties": option_schema(ARCHITECTURES[names[0]].option_types),
                        "propertyNames": {"enum": [*fixed, *takes, "width"]},
                    }
                }
            },
        }
        for takes, names in takers.items()
    ]


def _kind_of_model(given: Any) -> str:
    if isinstance(given, OwnModel) or (isinstance(given, Mapping) and "source" in given):
        return OWN
    return OF_ARCHITECTURE


class Recipe(Strict):
    """What to build: architecture, weights, expected size, targets.

    `class_names` name the outputs, all `model.classes` of them. A path is relative to the recipe; loading replaces it by
    the names. Without them, networks for ImageNet, COCO and VOC have those names.
    `max_fallback_share` limits the part of an inference that may be spent in operators off the delegate.
    A network from the user's own code has `model.source` and no `architecture`.
    """

    model_config = ConfigDict(json_schema_extra=_options_of_each)

    name: Name
    description: str = ""
    architecture: Annotated[str, Field(json_schema_extra={"enum": list(ARCHITECTURES)})] = ""
    model: Annotated[
        Annotated[ModelArguments, Tag(OF_ARCHITECTURE)] | Annotated[OwnModel, Tag(OWN)], Discriminator(_kind_of_model)
    ]
    weights: Weights
    preprocessing: Preprocessing | None = None
    expect: dict[str, Expectation] = Field(default={})
    sweep: Variants | None = None
    targets: tuple[Annotated[str, Field(examples=list(KNOWN_TARGETS))], ...] = KNOWN_TARGETS
    calibration: Calibration = Calibration()
    quantization: Quantization = Quantization()
    parity: ParityLimits = ParityLimits()
    max_fallback_share: Share | None = None
    published: Published | None = None
    class_names: ClassNames | None = None

    @field_validator("architecture")
    @classmethod
    def _known_architecture(cls, name: str) -> str:
        if name and name not in ARCHITECTURES:
            hint = did_you_mean(name, ARCHITECTURES)
            raise ValueError(f"unknown architecture {name}; {hint[0].lower()}{hint[1:]}")
        return name

    @field_validator("targets")
    @classmethod
    def _known_targets(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if not targets:
            raise ValueError("name at least one target")
        if len(set(targets)) < len(targets):
            raise ValueError("a target is listed twice: " + ", ".join(targets))
        for target in targets:
            parsed = Target.parse(target)
            if target not in KNOWN_TARGETS:
                _ask_backends(parsed)
        return targets

    @field_validator("expect")
    @classmethod
    def _variants(cls, expect: dict[str, Expectation], info: ValidationInfo) -> dict[str, Expectation]:
        own_model = isinstance(info.data.get("model"), OwnModel)
        pattern, written = (OWN_VARIANT, "3x96x96") if own_model else (VARIANT, "1.0/224")
        for variant in expect:
            if not pattern.fullmatch(variant):
                what = "the shapes of the inputs" if own_model else "width/resolution"
                raise UnfittingError(f"{variant!r} is not a variant; write {what}, for example {written}", variant)
        if own_model:
            return expect
        canonical = {_canonical_variant(variant): expectation for variant, expectation in expect.items()}
        if len(canonical) < len(expect):
            raise ValueError("a variant is listed twice: " + ", ".join(expect))
        return canonical

    @model_validator(mode="after")
    def _architecture_takes(self) -> Recipe:
        if isinstance(self.model, OwnModel):
            return self._fits_source(self.model)
        if not self.architecture:
            raise UnfittingError("name an architecture, or write `source` under `model`", "architecture")
        if self.preprocessing is None:
            raise UnfittingError("say how photos become inputs", "preprocessing")
        if self.weights.source is not None:
            raise UnfittingError(
                "an architecture has no source of weights; give url, file or random", "weights", "source"
            )
        known = ARCHITECTURES[self.architecture]
        self._type_options(self.model)
        for variant in self.expect:
            for option in (part.partition("=")[0] for part in variant.split("/") if "=" in part):
                if option not in known.option_types:
                    said = _no_such_option(self.architecture, option)
                    raise UnfittingError(f"{variant!r} is not a variant: {said}", "expect", variant)
        if self.weights.new_head is not None and known.task != "classification":
            problem = f"a new head is for classifiers; {self.architecture} is made for {known.task}"
            raise UnfittingError(problem, "weights", "new_head")
        if problem := known.problem(self.model.size):
            raise UnfittingError(f"{self.architecture} {problem}", "model", "resolution")
        return self

    def _type_options(self, model: ModelArguments) -> None:
        """Check the architecture's own options, and keep their values as their types."""
        types = ARCHITECTURES[self.architecture].option_types
        if model.width != 1.0 and "width" not in types:
            raise UnfittingError(_no_such_option(self.architecture, "width"), "model", "width")
        extra = model.model_extra or {}
        for option, value in list(extra.items()):
            if option not in types and value is not None:
                raise UnfittingError(_no_such_option(self.architecture, option), "model", option)
            try:
                typed = checked(types, option, value)
            except ValueError as error:
                raise UnfittingError(str(error), "model", option) from error
            if typed is None:
                del extra[option]
            else:
                extra[option] = typed

    def _fits_source(self, model: OwnModel) -> Recipe:
        if self.architecture:
            raise UnfittingError("a model with a source has no architecture: leave one of the two out", "architecture")
        if model.takes_photos and self.preprocessing is None:
            raise UnfittingError("say how photos become inputs", "preprocessing")
        if self.sweep or self.published:
            what = "sweep" if self.sweep else "published"
            raise UnfittingError("only a recipe with an architecture has it", what)
        return self

    @model_validator(mode="after")
    def _names_every_class(self) -> Recipe:
        classes = self.model.classes
        if isinstance(self.class_names, tuple) and classes and (problem := names_problem(self.class_names, classes)):
            raise UnfittingError(problem, "class_names")
        return self

    @model_validator(mode="after")
    def _sweep_has_weights(self) -> Recipe:
        if self.sweep and self.weights.random is None and self.sweep.weights is None:
            raise UnfittingError(
                "the weights fit no other variant; give sweep.weights, for example {random: 0}", "sweep"
            )
        return self

    def changed(self, changes: Mapping[str, object]) -> Recipe:
        """Return the recipe with other model arguments; ValidationError if they are invalid.

        If the model differs from the recipe's own, it gets the weights of `sweep`, if there are any.
        """
        model = ModelArguments.model_validate({**self.arguments.model_dump(), **changes})
        if model == self.model:
            return self
        published = published_for(self, model)
        random = self.sweep and self.sweep.weights
        weights = random.model_dump() if random else self.weights.model_dump()
        changed = {"model": model.model_dump(), "weights": weights, "published": published and published.model_dump()}
        return Recipe.model_validate({**self.model_dump(), **changed})

    def variants(self) -> tuple[Recipe, ...]:
        """Return a recipe for each variant of `sweep`, each once; only this recipe if `sweep` is empty."""
        grids = self.sweep.grids if self.sweep else (Grid(),)
        found = [self.changed(changes) for grid in grids for changes in grid.combinations()]
        return tuple({recipe.model.variant: recipe for recipe in found}.values())

    @property
    def arguments(self) -> ModelArguments:
        """What the architecture is built with; UsageError for a network of the user's own."""
        if isinstance(self.model, OwnModel):
            raise UsageError(
                f"{self.name} has no architecture: its network is {self.network}.", "Choose another recipe."
            )
        return self.model

    @property
    def network(self) -> str:
        """The architecture, or the source of the user's own network without its folder."""
        return own.short(self.model.source) if isinstance(self.model, OwnModel) else self.architecture

    def shown_model(self) -> dict[str, Any]:
        """Return the part `model` for manifests, without the folder of the user's own file."""
        shown = self.model.model_dump(mode="json" if isinstance(self.model, OwnModel) else "python")
        return {**shown, "source": self.network} if isinstance(self.model, OwnModel) else shown

    @property
    def task(self) -> Task | None:
        """What the network is made for; None if a user's own network does not say it."""
        return self.model.task if isinstance(self.model, OwnModel) else ARCHITECTURES[self.architecture].task

    @property
    def classes(self) -> int:
        """The number of classes; UsageError if a user's own network does not state it."""
        if self.model.classes is None:
            message = f"{self.name} does not say how many classes its network has."
            raise UsageError(message, "Write `classes` under `model`.", FailureKind.recipe)
        return self.model.classes

    @property
    def photos(self) -> tuple[Preprocessing, tuple[int, int]]:
        """How photos become inputs, and the input's (height, width); UsageError if the network takes no photos."""
        if self.preprocessing is None or (isinstance(self.model, OwnModel) and not self.model.takes_photos):
            raise UsageError(f"{self.name} takes no photos.", "Its inputs are examples of other kinds.")
        return self.preprocessing, self.model.size

    @property
    def expectation(self) -> Expectation | None:
        """The contract of the variant that this recipe builds; None if there is none."""
        return self.expect.get(self.model.variant)

    @property
    def hash(self) -> str:
        """SHA-256 of the whole recipe; the order and comments of its file do not matter."""
        return _canonical_hash(_without_newer(self.model_dump(mode="json")))

    @property
    def build_hash(self) -> str:
        """SHA-256 of what the artifacts depend on; targets, descriptions, mirrors and published names are left out."""
        return _canonical_hash(self._parts(MODEL_PARTS | {"quantization"}))

    @property
    def model_hash(self) -> str:
        """SHA-256 of what the prepared model depends on: all of `build_hash` except how int8 is made."""
        return _canonical_hash(self._parts(MODEL_PARTS))

    def _parts(self, keys: frozenset[str]) -> dict[str, Any]:
        left_out = {"weights": {"mirrors"}, "calibration": {"photos"}}  # the photos' own hash is part of the build key
        found = _without_newer(self.model_dump(mode="json", include=set(keys), exclude=left_out))
        if isinstance(self.model, OwnModel):  # the path of the file does not matter; its content has a separate hash
            found["model"]["source"] = self.network
        return found


def _without_newer(content: dict[str, Any]) -> dict[str, Any]:
    """Remove new keys with default values, so that hashes of older recipes stay the same."""
    if content.get("max_fallback_share", "") is None:
        del content["max_fallback_share"]
    weights, model = content.get("weights", {}), content.get("model", {})
    if weights.get("source", "") is None:
        del weights["source"]
    if "resolution" in model:  # recipes used to have every option, with null for unset
        content["model"] = dict.fromkeys(OPTIONS) | model
    return content


def published_for(recipe: Recipe, model: ModelArguments) -> Published | None:
    """Return the published name of `recipe` if it also has figures for `model`: width and resolution select them."""
    if recipe.published is None or model.options == recipe.model.options:
        return recipe.published
    own, other = ({**arguments.options, "width": 1.0} for arguments in (recipe.model, model))
    by_width = any(figure.width is not None for figure in figures() if figure.model == recipe.published.model)
    return recipe.published if own == other and by_width else None


def names_problem(names: Sequence[str], classes: int) -> str:
    """Return why `names` cannot name a model's `classes`; empty if they can."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        return f"a name is listed twice: {', '.join(twice[:5])}"
    return "" if len(names) == classes else f"there are {len(names)} names, and the model has {classes} classes"


def _ask_backends(target: Target) -> None:
    """ValueError if no installed backend, including plug-ins, compiles `target`."""
    from edgekit.backends.base import backend_of

    try:
        backend_of(target)
    except EdgekitError as error:
        raise ValueError(error.failure.explanation) from error


def _no_such_option(architecture: str, option: str) -> str:
    """Return the error of an unknown option, with the known ones."""
    takes = ARCHITECTURES[architecture].takes
    nearest = get_close_matches(option, [*ModelArguments.model_fields, *takes], n=1)
    said = f"{architecture} takes no {option}; its options: {', '.join(takes) or 'none'}"
    return f"{said}. Did you mean {nearest[0]}?" if nearest else said


def _canonical_variant(variant: str) -> str:
    """Write ``1/224`` and ``1.0/224x224/1000`` as ``1.0/224``, and options as :attr:`ModelArguments.variant` does."""
    width, resolution, *rest = variant.split("/")
    height, _, input_width = resolution.partition("x")
    try:
        options = {
            name: YAML(typ="safe").load(value.lower())
            for name, value in (option.split("=") for option in rest if "=" in option)
        }
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise UnfittingError(f"{variant!r} is not a variant: the value of an option is not YAML", variant) from error
    classes = next((part for part in rest if part.isdigit()), 1000)
    sides = {"resolution": height, "input_width": input_width or None}
    any_ = {"padding": "torch", "batch_norm_epsilon": 1e-5}
    try:
        typed = {name: checked(OPTIONS, name, value) if name in OPTIONS else value for name, value in options.items()}
        return ModelArguments.model_validate({"width": width, **sides, "classes": classes, **any_, **typed}).variant
    except ValidationError as error:
        problem = error.errors()[0]
        said = f"{variant!r} is not a variant: {problem['loc'][0]}: {problem['msg']}"
        raise UnfittingError(said, variant) from error
    except ValueError as error:
        raise UnfittingError(f"{variant!r} is not a variant: {error}", variant) from error


def _canonical_hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
