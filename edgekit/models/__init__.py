"""Architectures, one file per paper. Importing this package imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

EVERY = ("classes", "padding", "batch_norm_epsilon")
"""The arguments that every architecture's function has."""


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without importing torch.

    `module` holds the function that builds it, `function` is that function's name where it is not the architecture's own, and
    `fixed` are the arguments that the name stands for. `options` are the arguments of the function, beyond those of
    :data:`EVERY`, that a recipe may set; None asks its signature. `smallest` is the smallest side of an input, in pixels.
    """

    module: str
    function: str = ""
    fixed: Mapping[str, object] = field(default_factory=dict)
    options: tuple[str, ...] | None = ("width",)
    smallest: int = 32

    @property
    def takes(self) -> tuple[str, ...]:
        """The options; imports the module, and with it torch, where only the function's signature tells them."""
        if self.options is not None:
            return self.options
        return tuple(name for name in signature(self.load(self.function)).parameters if name not in EVERY)

    def load(self, name: str) -> Callable[..., nn.Module]:
        """Return the function that builds the architecture called `name`; imports torch."""
        function: Callable[..., nn.Module] = getattr(import_module(self.module), self.function or name)
        return function


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
"""Name of an architecture -> where it is built and what it takes; those of other packages by entry points."""

ARCHITECTURES |= {
    entry.name: Architecture(entry.module, entry.attr, options=None)
    for entry in entry_points(group="edgekit.architectures")
}


def build(architecture: str, **arguments: object) -> nn.Module:
    """Return the architecture in eval mode with torch's default random initialisation.

    `arguments` are those of the architecture's function (classes, padding, batch_norm_epsilon and its options); KeyError for
    an unknown architecture.
    """
    known = ARCHITECTURES[architecture]
    return known.load(architecture)(**known.fixed, **arguments).eval()
