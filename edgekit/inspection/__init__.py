"""What a recipe's model is made of and costs, and whether it keeps its contract: for ``edgekit inspect``.

Nothing here is measured: counts and bytes are derived from the architecture, times are estimated from a roofline.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from edgekit.architectures.cost import Cost, LayerCost
from edgekit.architectures.memory import Peak, peak_activations, peak_of
from edgekit.build.prepare import count_model, own_network
from edgekit.config.json_document import JsonDocument
from edgekit.errors import ExitCode, UsageError
from edgekit.inspection.full_convolutions import with_full_convolutions
from edgekit.inspection.roofline import Machine, Roofline, roofline
from edgekit.recipe.loading import load_known
from edgekit.recipe.own_model import OwnModel
from edgekit.recipe.schema import Expectation, Grid, Recipe

Contract = Literal["met", "broken", "no contract"]
SWEPT = tuple(Grid.model_fields)


class OperatorEntry(BaseModel):
    """What all layers of one type cost together; shares are of the whole network, 0 to 1 (MobileNetV1 paper, Table 2)."""

    operator: str
    parameters: int
    parameters_share: float
    multiply_adds: int
    multiply_adds_share: float


class FullConvolutionsEntry(BaseModel):
    """The same network with full instead of depthwise separable convolutions (MobileNetV1 paper, Table 4)."""

    kind: Literal["derived"] = "derived"
    parameters: int
    multiply_adds: int


class MemoryEntry(BaseModel):
    """Bytes: activations at their peak in float32 for one image, and all parameters at 4 and at 1 byte."""

    kind: Literal["derived"] = "derived"
    peak_activations: Peak
    weights_fp32_bytes: int
    weights_int8_bytes: int


class RecipeEntry(BaseModel):
    """One inspected recipe. `layers` and later fields are set only for a detailed inspection."""

    name: str
    architecture: str
    variant: str
    parameters: int
    multiply_adds: int
    contract: Contract
    expected: Expectation | None = None
    layers: list[LayerCost] | None = None
    operators: list[OperatorEntry] | None = None
    full_convolutions: FullConvolutionsEntry | None = None
    memory: MemoryEntry | None = None
    roofline: Roofline | None = None


class Problem(BaseModel):
    """A recipe file that cannot be loaded, and why."""

    name: str
    message: str


class InspectDocument(JsonDocument):
    """What ``edgekit inspect --json`` prints."""

    recipes: list[RecipeEntry]
    problems: list[Problem] = Field(default_factory=list)


def inspect(recipe: Recipe) -> RecipeEntry:
    """Count the recipe's model and compare with its contract; nothing is allocated or downloaded."""
    return _entry(recipe, _cost(recipe))


def inspect_closely(recipe: Recipe, machine: Machine | None = None) -> RecipeEntry:
    """As :func:`inspect`, with layers, layer types, full convolutions, memory and, given a `machine`, its roofline."""
    counted = _cost(recipe)
    full = with_full_convolutions(counted)
    peak = _peak(recipe)
    return _entry(recipe, counted).model_copy(
        update={
            "layers": list(counted.layers),
            "operators": _operators(counted),
            "full_convolutions": full and FullConvolutionsEntry(**_counts(full)),
            "memory": MemoryEntry(
                peak_activations=peak,
                weights_fp32_bytes=4 * counted.parameters,
                weights_int8_bytes=counted.parameters,
            ),
            "roofline": machine and roofline(counted, machine),
        }
    )


def inspect_all(overrides: tuple[str, ...] = ()) -> InspectDocument:
    """Inspect every recipe that is found by name. A recipe that cannot be loaded is listed as a problem."""
    recipes, failures = load_known(overrides)
    problems = [Problem(name=name, message=failure.message) for name, failure in failures.items()]
    return InspectDocument(recipes=[inspect(recipe) for recipe in recipes], problems=problems)


def sweep(recipe: Recipe, settings: Iterable[str]) -> list[RecipeEntry]:
    """Inspect the recipe at every combination of ``width=V,V``, ``resolution=V,V`` and ``depth=V,V``.

    Other arguments keep their values; without `settings` the recipe's `sweep` is used. UsageError for another key,
    an invalid value, and a recipe without a `sweep` if there are no `settings`.
    """
    values: dict[str, list[str]] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in SWEPT:
            raise UsageError(
                f"--sweep {setting}: write {' or '.join(f'{key}=VALUE,VALUE' for key in SWEPT)}.",
                "For example: --sweep width=1.0,0.75 resolution=224,192",
            )
        values.setdefault(key, []).extend(text.split(","))
    if values:
        combinations = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
        changed = [_changed(recipe, chosen) for chosen in combinations]
        return [inspect(recipe) for recipe in {recipe.model.variant: recipe for recipe in changed}.values()]
    if recipe.sweep is None:
        raise UsageError(
            f"{recipe.name} has no `sweep`.", "Say what to vary: --sweep width=1.0,0.75 resolution=224,192"
        )
    return [inspect(variant) for variant in recipe.variants()]


def exit_code(document: InspectDocument) -> ExitCode:
    """Return 2 if a recipe cannot be loaded, else 1 if a contract is broken."""
    codes = {ExitCode.usage} if document.problems else set()
    if any(entry.contract == "broken" for entry in document.recipes):
        codes.add(ExitCode.failure)
    return ExitCode.worst(codes)


def _changed(recipe: Recipe, changes: dict[str, str]) -> Recipe:
    try:
        return recipe.changed(changes)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0]) if problem["loc"] else ""
        setting = f"{key}={problem['input']}" if key else ",".join(f"{name}={value}" for name, value in changes.items())
        said = str(problem["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--sweep {setting}: {said}.") from error


def _cost(recipe: Recipe) -> Cost:
    return count_model(recipe)


def _peak(recipe: Recipe) -> Peak:
    import torch

    if isinstance(recipe.model, OwnModel):
        zeros = (torch.zeros(1, *shape) for shape in recipe.model.input_shapes().values())
        return peak_of(own_network(recipe), *zeros)
    return peak_activations(recipe.architecture, recipe.model.size, **recipe.arguments.architecture_arguments())


def _counts(counted: Cost) -> dict[str, int]:
    return {"parameters": counted.parameters, "multiply_adds": counted.multiply_adds}


def _entry(recipe: Recipe, counted: Cost) -> RecipeEntry:
    expected, counts = recipe.expectation, _counts(counted)
    met: Contract = "met" if expected and expected.model_dump() == counts else "broken"
    return RecipeEntry(
        name=recipe.name,
        architecture=recipe.network,
        variant=recipe.model.variant,
        contract=met if expected else "no contract",
        expected=expected,
        **counts,
    )


def _operators(counted: Cost) -> list[OperatorEntry]:
    return [
        OperatorEntry(
            operator=operator,
            parameters=parameters,
            parameters_share=parameters / counted.parameters,
            multiply_adds=multiply_adds,
            multiply_adds_share=multiply_adds / counted.multiply_adds,
        )
        for operator, (parameters, multiply_adds) in counted.by_operator().items()
    ]
