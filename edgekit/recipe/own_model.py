"""A user's own network in a recipe: a Python function or an exported program, and its facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edgekit.config.yaml import Strict, Written

Task = Literal["classification", "segmentation"]

SOURCE = r"^(.+\.py:[A-Za-z_]\w*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*|.+\.pt2)$"
Source = Annotated[str, Written(SOURCE, "path/to/file.py:function, package.module:function, or path/to/file.pt2")]
Shape = tuple[Annotated[int, Field(ge=1, le=65536)], ...]
SHAPE = re.compile(r"\d+(x\d+)*")


def is_source(text: str) -> bool:
    """Return whether a text on the command line names a user's own network, not a recipe."""
    return re.fullmatch(SOURCE, text) is not None


def shape_of(text: str) -> Shape:
    """Return the shape of a text such as ``3x96x96``; ValueError for any other text."""
    if not SHAPE.fullmatch(text):
        raise ValueError(f"{text!r} is not a shape; write for example 3x96x96, without the batch dimension")
    return tuple(int(side) for side in text.split("x"))


class OwnInput(Strict):
    """One input of the network: its shape without the batch dimension, and examples of it.

    `values` is a ``.npy`` file (N, *shape) of float32 numbers. Without it, a single input 3 x H x W gets photos,
    and any other input gets seeded normal noise.
    """

    shape: Shape
    values: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        return {"shape": given} if isinstance(given, str | list | tuple) else given

    @field_validator("shape", mode="before")
    @classmethod
    def _written(cls, given: object) -> object:
        return shape_of(given) if isinstance(given, str) else tuple(given) if isinstance(given, list) else given


class OwnModel(Strict):
    """A network from the user's own code. Its code runs when the recipe is built.

    `source` is ``path/to/file.py:function`` (relative to the recipe), ``package.module:function``, or an exported program
    ``path/to/file.pt2``. The function returns an ``nn.Module`` and takes `options` as keyword arguments. `inputs` are its
    arguments in order, float32: ``3x96x96``, or name -> shape. `outputs` are the names of its results; without them they are
    the keys of a dictionary that it returns, else ``logits`` if there is one and ``output_0`` ... if there are several.
    `task` and `classes` are needed by `edgekit evaluate` only.
    """

    source: Source
    options: dict[str, Any] = Field(default={})
    inputs: dict[str, OwnInput]
    outputs: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    task: Task | None = None
    classes: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @field_validator("inputs", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        if isinstance(given, str):
            return {"image": given}
        if isinstance(given, list):
            return {f"input_{index}": shape for index, shape in enumerate(given)}
        return given

    @field_validator("inputs")
    @classmethod
    def _some(cls, inputs: dict[str, OwnInput]) -> dict[str, OwnInput]:
        if not inputs:
            raise ValueError("name at least one input")
        return inputs

    @property
    def takes_photos(self) -> bool:
        """Whether photos are the examples: the only input is a colour image without values."""
        shapes = [spec.shape for spec in self.inputs.values() if spec.values is None]
        return len(self.inputs) == len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 3

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the photos that the network takes, in pixels; ValueError if it takes none."""
        if not self.takes_photos:
            raise ValueError("this network does not take photos")
        (_, height, width) = next(iter(self.inputs.values())).shape
        return height, width

    @property
    def variant(self) -> str:
        """The shapes of the inputs, and ``/option=value``: the key of `Recipe.expect`."""
        shapes = ",".join("x".join(map(str, spec.shape)) for spec in self.inputs.values())
        return "/".join([shapes, *(f"{name}={value}" for name, value in self.options.items())])

    def input_shapes(self) -> Mapping[str, Shape]:
        """Return input name -> shape without the batch dimension."""
        return {name: spec.shape for name, spec in self.inputs.items()}
