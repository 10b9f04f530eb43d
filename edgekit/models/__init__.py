"""Architectures, one file per paper. Importing this package imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES = {
    "mobilenet_v1": "edgekit.models.mobilenet_v1",
    "mobilenet_v2": "edgekit.models.mobilenet_v2",
    "mobilenet_v3_large": "edgekit.models.mobilenet_v3",
    "mobilenet_v3_small": "edgekit.models.mobilenet_v3",
    "mobilenet_v3_large_minimalistic": "edgekit.models.mobilenet_v3",
    "mobilenet_v3_small_minimalistic": "edgekit.models.mobilenet_v3",
}
"""Name of an architecture -> the module that holds the function of that name."""


def build(architecture: str, **arguments: object) -> nn.Module:
    """Return the architecture in eval mode with torch's default random initialisation.

    `arguments` are those of the architecture's function (width, classes, padding, batch_norm_epsilon); KeyError for an
    unknown architecture.
    """
    function = getattr(import_module(ARCHITECTURES[architecture]), architecture)
    model: nn.Module = function(**arguments)
    return model.eval()
