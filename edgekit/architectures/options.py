"""Options of architectures, with their types: what a recipe may set beyond what every architecture takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError

Types = Mapping[str, Any]
"""Option -> the type that its value must have, as pydantic reads it."""

OPTIONS: dict[str, Any] = {
    "width": Annotated[float, Field(gt=0, le=4)],
    "depth": Annotated[float, Field(gt=0, le=8)],
    "groups": Annotated[int, Field(ge=1, le=64)],
    "output_stride": Literal[8, 16, 32],
    "head_filters": Annotated[int, Field(ge=8, le=1024)],
    "aspp": bool,
    "reduced": bool,
    "divisor": Annotated[int, Field(ge=1, le=16)],
    "scale_last": bool,
}
"""The options of edgekit's own architectures, in the order in which a variant names them."""

FINITE = ConfigDict(allow_inf_nan=False)


def checked(types: Types, option: str, value: object) -> object:
    """Return the value of an option as its type; ValueError says what is wrong with it. None leaves the default."""
    if value is None:
        return None
    wanted = types[option]
    try:
        return _adapter(wanted).validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error


def schema(types: Types) -> dict[str, Any]:
    """Return option -> JSON Schema."""
    return {option: _adapter(wanted).json_schema() for option, wanted in types.items()}


def _adapter(wanted: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(wanted, config=FINITE)
    except PydanticUserError:  # a model class has its own configuration
        return TypeAdapter(wanted)


def ordered(options: Mapping[str, object]) -> dict[str, object]:
    """Return options in the order in which a variant names them: edgekit's own first, then others by name."""
    order = list(OPTIONS)
    return dict(
        sorted(options.items(), key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0]))
    )
