"""What a recipe says of a network of edgekit's architectures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from edgekit.architectures.options import ordered
from edgekit.config.yaml import Strict


class ModelArguments(Strict):
    """What the architecture is built with. `resolution` is the input's side in pixels; beside `input_width` its height.

    Further keys are the architecture's own options (:attr:`edgekit.architectures.registry.Architecture.option_types`).
    The recipe checks them, because it knows the architecture. Without one, the architecture's default counts.
    """

    model_config = ConfigDict(extra="allow")

    width: Annotated[float, Field(gt=0, le=4)] = 1.0
    resolution: Annotated[int, Field(ge=32, le=2048)]
    input_width: Annotated[int, Field(ge=32, le=4096)] | None = None
    classes: Annotated[int, Field(ge=1, le=100_000)] = 1000
    padding: Literal["same", "torch"]
    batch_norm_epsilon: Annotated[float, Field(gt=0, lt=1)]

    @property
    def depth(self) -> float:
        """The depth multiplier; 1.0 for architectures that have none."""
        return float((self.model_extra or {}).get("depth") or 1.0)

    @property
    def size(self) -> tuple[int, int]:
        """The input's (height, width) in pixels."""
        return self.resolution, self.input_width or self.resolution

    @property
    def options(self) -> dict[str, object]:
        """What is set beyond what every architecture takes: argument -> value."""
        given = {"width": self.width, **(self.model_extra or {})}
        return ordered(
            {name: value for name, value in given.items() if value is not None and (name, value) != ("width", 1.0)}
        )

    def architecture_arguments(self) -> dict[str, object]:
        """Return the keyword arguments for :func:`edgekit.architectures.registry.build`."""
        return self.model_dump(include={"classes", "padding", "batch_norm_epsilon"}) | self.options

    @property
    def variant(self) -> str:
        """``width/resolution``, then ``/classes`` (if not ImageNet's 1000) and ``/option=value`` for each option.

        The resolution is written ``HEIGHTxWIDTH`` if the input is not square. It is the key of `Recipe.expect`.
        """
        options = [f"{name}={str(value).lower()}" for name, value in self.options.items() if name != "width"]
        classes = [] if self.classes == 1000 else [str(self.classes)]
        height, width = self.size
        resolution = str(height) if height == width else f"{height}x{width}"
        return "/".join([str(self.width), resolution, *classes, *options])
