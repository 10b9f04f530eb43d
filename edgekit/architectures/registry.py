"""Architectures, one file per paper. Importing this package imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from edgekit.architectures.options import OPTIONS, Types
from edgekit.errors import UsageError
from edgekit.plugins import package_of, provided, using

if TYPE_CHECKING:
    from torch import nn

Task = Literal["classification", "detection", "segmentation"]

OUTPUTS: dict[Task, tuple[str, ...]] = {
    "classification": ("logits",),  # (N, classes)
    "detection": ("class_logits", "box_codes"),  # (N, anchors, classes), (N, anchors, 4)
    "segmentation": ("logits",),  # (N, classes, H, W), at the input's size
}
"""Task -> the names of what its models return: a tensor if it is one name, else a tuple in this order."""

Size = int | tuple[int, int]
"""An input's (height, width) in pixels; one number is the side of a square."""


def sides(size: Size) -> tuple[int, int]:
    """Return (height, width)."""
    return (size, size) if isinstance(size, int) else size


EVERY = ("classes", "padding", "batch_norm_epsilon")
"""The arguments that every architecture's function has."""


@dataclass(frozen=True)
class Architecture:
    """The facts on an architecture that need no import of torch.

    `module` contains the function that builds it. `function` is the function's name if it differs from the architecture's.
    `fixed` are the arguments that the name implies. `options` are further arguments that a recipe may set, beyond
    :data:`EVERY`; None takes them from the signature. `smallest` is the smallest side of an input, in pixels.
    `resolution` is the published one if it is not the usual one of the task. `entry` is that of a plug-in.
    `rivals` are entry points of other packages that provide the same name: it can then not be built.
    """

    module: str
    function: str = ""
    fixed: Mapping[str, object] = field(default_factory=dict)
    options: tuple[str, ...] | None = ("width",)
    smallest: int = 32
    resolution: int | None = None
    task: Task = "classification"
    entry: EntryPoint | None = None
    rivals: tuple[EntryPoint, ...] = ()

    def problem(self, size: Size) -> str:
        """Return why an input of `size` is not accepted; empty if it is."""
        shorter = min(sides(size))
        return f"takes no input of {shorter} pixels; the smallest is {self.smallest}" if shorter < self.smallest else ""

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of the options, as :attr:`option_types`."""
        return tuple(self.option_types)

    @property
    def option_types(self) -> Types:
        """Option -> type. A plug-in's are read from its function's signature, which imports its module, and torch."""
        self._check_sole()
        if self.options is not None:
            return {name: OPTIONS[name] for name in self.options}
        function = self.load(self.function)
        types = get_type_hints(function)
        return {name: types.get(name, Any) for name in signature(function).parameters if name not in EVERY}

    def load(self, name: str) -> Callable[..., nn.Module]:
        """Return the function that builds the architecture called `name`; imports torch.

        EdgekitError names the package of a plug-in that does not work.
        """
        self._check_sole()
        with using(self.entry) if self.entry else nullcontext():
            function: Callable[..., nn.Module] = getattr(import_module(self.module), self.function or name)
        return function

    def _check_sole(self) -> None:
        """UsageError that names the package, if another one provides an architecture of this name."""
        if self.rivals:
            rival, owner = self.rivals[0], f"the package {package_of(self.entry)}" if self.entry else "edgekit itself"
            message = (
                f"The package {package_of(rival)} provides an architecture named {rival.name}, and so does {owner}."
            )
            raise UsageError(message, f"Uninstall that package, or have it renamed: pip uninstall {package_of(rival)}")


def _detector(backbone: str, *options: str, resolution: int | None = None, **fixed: object) -> Architecture:
    taken = ("width", *options)
    fixed = {"backbone": backbone, **fixed}
    return Architecture("edgekit.architectures.ssd", "ssd", fixed, taken, resolution=resolution, task="detection")


def _segmenter(module: str, backbone: str, *options: str, **fixed: object) -> Architecture:
    options = ("width", "output_stride", "head_filters", "reduced", *options)
    return Architecture(
        f"edgekit.architectures.{module}", module, {"backbone": backbone, **fixed}, options, task="segmentation"
    )


SCALED = ("width", "depth")
"""What compound scaling sets (EfficientNet, arXiv:1905.11946); the resolution every recipe sets."""


class Registry(MutableMapping[str, Architecture]):
    """Name -> architecture: edgekit's `own`, and plug-ins' (entry points ``edgekit.architectures``).

    The entry points are read when a name is first looked up. None is imported before its architecture is built.
    A program may add architectures of its own for as long as it runs.
    """

    def __init__(self, own: Mapping[str, Architecture]) -> None:
        self._own = own

    @cached_property
    def _all(self) -> dict[str, Architecture]:
        found = dict(self._own)
        for name, entries in provided("edgekit.architectures").items():
            if name in found:
                found[name] = replace(found[name], rivals=tuple(entries))
            else:
                module, _, attribute = entries[0].value.partition(":")
                found[name] = Architecture(module, attribute, options=None, entry=entries[0], rivals=tuple(entries[1:]))
        return found

    def __getitem__(self, name: str) -> Architecture:
        return self._all[name]

    def __setitem__(self, name: str, architecture: Architecture) -> None:
        self._all[name] = architecture

    def __delitem__(self, name: str) -> None:
        del self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


OWN = {
    "mobilenet_v1": Architecture("edgekit.architectures.mobilenet_v1", options=SCALED),
    "mobilenet_v2": Architecture("edgekit.architectures.mobilenet_v2", options=SCALED),
    "mobilenet_v3_large": Architecture("edgekit.architectures.mobilenet_v3"),
    "mobilenet_v3_small": Architecture("edgekit.architectures.mobilenet_v3"),
    "mobilenet_v3_large_minimalistic": Architecture("edgekit.architectures.mobilenet_v3"),
    "mobilenet_v3_small_minimalistic": Architecture("edgekit.architectures.mobilenet_v3"),
    "mobilenet_edgetpu": Architecture("edgekit.architectures.mobilenet_edgetpu", options=("width", "scale_last")),
    **{
        f"mobilenet_edgetpu_v2_{size}": Architecture(
            "edgekit.architectures.mobilenet_edgetpu", "mobilenet_edgetpu_v2", {"size": size}, options=()
        )
        for size in ("tiny", "xs", "s", "m", "l")
    },
    "mnasnet_a1": Architecture("edgekit.architectures.mnasnet"),
    "mnasnet_b1": Architecture("edgekit.architectures.mnasnet"),
    "mnasnet_small": Architecture("edgekit.architectures.mnasnet"),
    "efficientnet": Architecture("edgekit.architectures.efficientnet", options=SCALED),
    "efficientnet_lite": Architecture("edgekit.architectures.efficientnet", options=SCALED),
    "efficientnet_edgetpu": Architecture("edgekit.architectures.efficientnet", options=SCALED),
    "vgg16": Architecture("edgekit.architectures.vgg", options=()),
    "googlenet": Architecture("edgekit.architectures.googlenet", options=()),
    "inception_v3": Architecture("edgekit.architectures.inception_v3", options=(), smallest=75, resolution=299),
    "resnet18": Architecture("edgekit.architectures.resnet"),
    "resnet34": Architecture("edgekit.architectures.resnet"),
    "resnet50": Architecture("edgekit.architectures.resnet", options=SCALED),
    "xception": Architecture("edgekit.architectures.xception", options=(), resolution=299),
    "squeezenet1_0": Architecture("edgekit.architectures.squeezenet", options=()),
    "squeezenet1_1": Architecture("edgekit.architectures.squeezenet", options=()),
    "shufflenet_v1": Architecture("edgekit.architectures.shufflenet_v1", options=("width", "groups")),
    "shufflenet_v2": Architecture("edgekit.architectures.shufflenet_v2"),
    "ssdlite_mobilenet_v1": _detector("mobilenet_v1", "reduced"),
    "ssdlite_mobilenet_v2": _detector("mobilenet_v2", "reduced"),
    "ssdlite_mobilenet_v3_large": _detector("mobilenet_v3_large", "reduced"),
    "ssdlite_mobilenet_v3_small": _detector("mobilenet_v3_small", "reduced"),
    "ssdlite_mnasnet_a1": _detector("mnasnet_a1"),
    "ssd300_vgg16": Architecture(
        "edgekit.architectures.ssd_vgg", options=(), smallest=300, resolution=300, task="detection"
    ),
    "ssd_mobilenet_v2": _detector("mobilenet_v2", "reduced", resolution=300, lite=False),
    "deeplabv3_mobilenet_v1": _segmenter("deeplabv3", "mobilenet_v1", "aspp"),
    "deeplabv3_mobilenet_v2": _segmenter("deeplabv3", "mobilenet_v2", "aspp", "divisor"),
    "raspp_mobilenet_v2": _segmenter("deeplabv3", "mobilenet_v2", aspp=False),
    "raspp_mobilenet_v3_large": _segmenter("deeplabv3", "mobilenet_v3_large", aspp=False),
    "raspp_mobilenet_v3_small": _segmenter("deeplabv3", "mobilenet_v3_small", aspp=False),
    "lraspp_mobilenet_v2": _segmenter("lraspp", "mobilenet_v2"),
    "lraspp_mobilenet_v3_large": _segmenter("lraspp", "mobilenet_v3_large"),
    "lraspp_mobilenet_v3_small": _segmenter("lraspp", "mobilenet_v3_small"),
}
"""Name -> architecture, of edgekit itself."""

ARCHITECTURES = Registry(OWN)
"""Name -> architecture, including those of other packages by entry points."""


def build(architecture: str, **arguments: object) -> nn.Module:
    """Return the architecture in eval mode with torch's default random initialisation.

    `arguments` are those of the architecture's function (classes, padding, batch_norm_epsilon and its options); KeyError for
    an unknown architecture.
    """
    known = ARCHITECTURES[architecture]
    return known.load(architecture)(**known.fixed, **arguments).eval()
