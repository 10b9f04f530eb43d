"""Architectures, one file per paper. Importing this package imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without importing torch.

    `module` holds the function that builds it, `function` is that function's name where it is not the architecture's own, and
    `fixed` are the arguments that the architecture's name stands for. `options` are the arguments of the function, beyond
    classes, padding and batch_norm_epsilon, that a recipe may set. `smallest` is the smallest side of an input, in pixels.
    """

    module: str
    function: str = ""
    fixed: Mapping[str, object] = field(default_factory=dict)
    options: tuple[str, ...] = ("width",)
    smallest: int = 32


SCALED = ("width", "depth")
"""What compound scaling sets (EfficientNet, arXiv:1905.11946); the resolution every recipe sets."""

ARCHITECTURES = {
    "mobilenet_v1": Architecture("edgekit.models.mobilenet_v1", options=SCALED),
    "mobilenet_v2": Architecture("edgekit.models.mobilenet_v2", options=SCALED),
    "mobilenet_v3_large": Architecture("edgekit.models.mobilenet_v3"),
    "mobilenet_v3_small": Architecture("edgekit.models.mobilenet_v3"),
    "mobilenet_v3_large_minimalistic": Architecture("edgekit.models.mobilenet_v3"),
    "mobilenet_v3_small_minimalistic": Architecture("edgekit.models.mobilenet_v3"),
    "mobilenet_edgetpu": Architecture("edgekit.models.mobilenet_edgetpu"),
    **{
        f"mobilenet_edgetpu_v2_{size}": Architecture(
            "edgekit.models.mobilenet_edgetpu", "mobilenet_edgetpu_v2", {"size": size}, options=()
        )
        for size in ("tiny", "xs", "s", "m", "l")
    },
    "mnasnet_a1": Architecture("edgekit.models.mnasnet"),
    "mnasnet_b1": Architecture("edgekit.models.mnasnet"),
    "mnasnet_small": Architecture("edgekit.models.mnasnet"),
    "efficientnet": Architecture("edgekit.models.efficientnet", options=SCALED),
    "efficientnet_lite": Architecture("edgekit.models.efficientnet", options=SCALED),
    "efficientnet_edgetpu": Architecture("edgekit.models.efficientnet", options=SCALED),
    "vgg16": Architecture("edgekit.models.vgg", options=()),
    "googlenet": Architecture("edgekit.models.googlenet", options=()),
    "inception_v3": Architecture("edgekit.models.inception_v3", options=(), smallest=75),
    "resnet18": Architecture("edgekit.models.resnet"),
    "resnet34": Architecture("edgekit.models.resnet"),
    "resnet50": Architecture("edgekit.models.resnet", options=SCALED),
    "xception": Architecture("edgekit.models.xception", options=()),
    "squeezenet1_0": Architecture("edgekit.models.squeezenet", options=()),
    "squeezenet1_1": Architecture("edgekit.models.squeezenet", options=()),
    "shufflenet_v1": Architecture("edgekit.models.shufflenet_v1", options=("width", "groups")),
    "shufflenet_v2": Architecture("edgekit.models.shufflenet_v2"),
}
"""Name of an architecture -> where it is built and what it takes."""


def build(architecture: str, **arguments: object) -> nn.Module:
    """Return the architecture in eval mode with torch's default random initialisation.

    `arguments` are those of the architecture's function (classes, padding, batch_norm_epsilon and its options); KeyError for
    an unknown architecture.
    """
    known = ARCHITECTURES[architecture]
    function = getattr(import_module(known.module), known.function or architecture)
    model: nn.Module = function(**known.fixed, **arguments)
    return model.eval()
