"""What a recipe's model is made of and costs, and whether it keeps its contract: for ``edgekit inspect``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.errors import ExitCode
from edgekit.models.cost import Cost, Shape, cost
from edgekit.recipe import Expectation, Recipe

Contract = Literal["met", "broken", "no contract"]


@dataclass(frozen=True)
class Inspection:
    """A recipe and the counted cost of the variant that it builds."""

    recipe: Recipe
    cost: Cost

    @property
    def contract(self) -> Contract:
        """Whether the counts are those that the recipe expects of this variant."""
        expected = self.recipe.expectation
        if expected is None:
            return "no contract"
        return "met" if expected == Expectation(**self.counts) else "broken"

    @property
    def counts(self) -> dict[str, int]:
        """Parameters and multiply-adds."""
        return {"parameters": self.cost.parameters, "multiply_adds": self.cost.multiply_adds}


class LayerEntry(BaseModel):
    """A layer; shapes without the batch dimension."""

    name: str
    operator: str
    input: Shape
    output: Shape
    parameters: int
    multiply_adds: int


class RecipeEntry(BaseModel):
    """One inspected recipe; `layers` only where one recipe was asked for."""

    name: str
    architecture: str
    variant: str
    parameters: int
    multiply_adds: int
    contract: Contract
    expected: Expectation | None = None
    layers: list[LayerEntry] | None = None


class InspectDocument(BaseModel):
    """What ``edgekit inspect --json`` prints."""

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)
    schema_: Literal[1] = 1
    recipes: list[RecipeEntry]


def inspect(recipe: Recipe) -> Inspection:
    """Count the recipe's model; nothing is allocated or downloaded."""
    return Inspection(
        recipe, cost(recipe.architecture, recipe.model.resolution, **recipe.model.architecture_arguments())
    )


def document(inspections: list[Inspection], layers: bool) -> InspectDocument:
    """Return the machine-readable form."""
    return InspectDocument(
        recipes=[
            RecipeEntry(
                name=one.recipe.name,
                architecture=one.recipe.architecture,
                variant=one.recipe.model.variant,
                contract=one.contract,
                expected=one.recipe.expectation,
                layers=[LayerEntry(**vars(layer)) for layer in one.cost.layers] if layers else None,
                **one.counts,
            )
            for one in inspections
        ]
    )


def exit_code(inspections: list[Inspection]) -> ExitCode:
    """Return 1 where a contract is broken."""
    return ExitCode.failure if any(one.contract == "broken" for one in inspections) else ExitCode.done


def terminal(inspection: Inspection) -> RenderableType:
    """Return the layer table, the shares per layer type and the contract's result."""
    recipe, counted = inspection.recipe, inspection.cost
    layers = Table(title=f"{recipe.name}: {recipe.architecture} {recipe.model.variant}", title_justify="left")
    for column in ("layer", "operator", "input", "output"):
        layers.add_column(column)
    for column in ("parameters", "multiply-adds"):
        layers.add_column(column, justify="right")
    norms = sum(layer.parameters for layer in counted.layers if layer.operator == "batch norm")
    for layer in counted.layers:
        if layer.operator != "batch norm":
            shapes = (_shape(layer.input), _shape(layer.output))
            layers.add_row(layer.name, layer.operator, *shapes, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
    layers.add_section()
    layers.add_row("", "batch norm (all)", "", "", f"{norms:,}", "0")
    layers.add_row("total", "", "", "", f"{counted.parameters:,}", f"{counted.multiply_adds:,}")
    shares = Table(title="by layer type", title_justify="left")
    shares.add_column("operator")
    for column in ("parameters", "share", "multiply-adds", "share"):
        shares.add_column(column, justify="right")
    for operator, (parameters, multiply_adds) in counted.by_operator().items():
        share, work = parameters / counted.parameters, multiply_adds / counted.multiply_adds
        shares.add_row(operator, f"{parameters:,}", f"{share:.2%}", f"{multiply_adds:,}", f"{work:.2%}")
    return Group(layers, shares, _contract(inspection))


def terminal_all(inspections: list[Inspection]) -> RenderableType:
    """Return one line per recipe."""
    table = Table()
    for column in ("recipe", "architecture", "variant", "parameters", "multiply-adds", "contract"):
        table.add_column(column, justify="right" if column in {"parameters", "multiply-adds"} else "left")
    for one in inspections:
        numbers = (f"{count:,}" for count in one.counts.values())
        table.add_row(one.recipe.name, one.recipe.architecture, one.recipe.model.variant, *numbers, one.contract)
    return table


def _contract(inspection: Inspection) -> Text:
    expected = inspection.recipe.expectation
    if expected is None:
        return Text(f"no contract: the recipe expects nothing of {inspection.recipe.model.variant}", "yellow")
    numbers = f"{expected.parameters:,} parameters, {expected.multiply_adds:,} multiply-adds"
    return Text(
        f"contract {inspection.contract}: expected {numbers}", "green" if inspection.contract == "met" else "red"
    )


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))
