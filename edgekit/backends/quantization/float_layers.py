"""Layers that stay in float in int8 artifacts. The recipe names them: `quantization.float_layers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.errors import FailureKind, UsageError, did_you_mean

if TYPE_CHECKING:
    from torch import nn


def keep_in_float(model: nn.Module, names: Sequence[str]) -> None:
    """Note on `model` which of its layers backends keep in float. Copies of the model keep the note.

    `names` are names of convolutions and fully connected layers, such as ``features.1.conv.0.0``.
    UsageError (``recipe``) names the nearest layer if the model has no such layer.
    """
    known = layer_names(model)
    for name in names:
        if name not in known:
            message = f"quantization.float_layers: the model has no layer named {name}."
            raise UsageError(message, did_you_mean(name, known), FailureKind.recipe)
    model.float_layers = tuple(names)  # type: ignore[assignment]


def float_layers(model: nn.Module) -> tuple[str, ...]:
    """Return the names that :func:`keep_in_float` noted on `model`; none if it was not called."""
    names: tuple[str, ...] = getattr(model, "float_layers", ())
    return names


def layer_names(model: nn.Module) -> list[str]:
    """Return the names of all convolutions and fully connected layers, in the order of the modules."""
    from torch import nn

    return [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
