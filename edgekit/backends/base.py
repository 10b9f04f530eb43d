"""What a backend is. A stranger adds one by writing a class with this shape and an entry point in ``edgekit.backends``.

class MyRuntime:
    name = "myruntime"
    format = "bin"
    targets = (Target("myruntime", "cpu", "fp32"),)
    distributions = ("myruntime",)
    modules = ("myruntime",)

    def compile(self, model, target, calibration, output): ...
    def execute(self, artifact, inputs): ...
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgekit.architectures.inputs import Array, Inputs, nhwc
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.plugins import only, provided, using
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

Outputs = tuple[NDArray[np.float32], ...]
"""One array per output of an artifact, images first; in the order and the layouts of its manifest's outputs."""


class TensorSpec(BaseModel):
    """An input or output of an artifact. `scale` and `zero_point` are None for float tensors.

    Layouts: N images, H and W pixels, A anchors, C channels: classes, or the four codes of a box. Empty for other ranks.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: Literal["NCHW", "NHWC", "NC", "NAC", ""]
    scale: float | None = None
    zero_point: int | None = None


class Delegation(BaseModel):
    """How the delegate took the graph: in how many parts, and whether operators are left outside."""

    partitions: int
    complete: bool
    outside: tuple[str, ...] = ()


class Compiled(BaseModel):
    """A backend's facts on its file. `delegation` is None if the runtime does not report it here."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegation: Delegation | None = None


@dataclass(frozen=True)
class LayerValue:
    """What one layer of an artifact read and computed for some images, in the model's layout; the output is activated.

    `weight` is the shape of its weights, as PyTorch has them. An output that is stored in integers has a `step` and a `range`.
    """

    input: NDArray[np.float32]
    output: NDArray[np.float32]
    weight: tuple[int, ...]
    step: float = 0.0
    range: tuple[float, float] = (-math.inf, math.inf)


class ParityResult(BaseModel):
    """How far an artifact is from PyTorch on the parity photos.

    If a model has several outputs, every figure is that of the worst.

    - `kind` is ``measured`` if the artifact ran in its runtime, ``derived`` if edgekit executed its saved program.
    - `max_relative` is the largest absolute error over the largest absolute value of that output.
    - `top1_agreement` is the share of equal largest logits among `decisions`: one per photo, pixel or anchor.
      A model without logits makes no decisions.
    - `clear_agreement` is that share among the `clear_decisions`, with its 95 % Wilson interval.
      A decision is clear if PyTorch's largest logit leads.
    - `ties` is the share of decisions with several largest logits in the artifact and not in PyTorch.
    - `saturation` is the share of photos whose outputs reach the end of the artifact's range.
    - `layer_db` is the signal-to-noise ratio of the worst layer alone (:mod:`edgekit.build.layer_parity`).
    - `first_departure` is the first layer of a failed artifact that departs from PyTorch, if found.
    - `layers_unknown` is the reason if the layers could not be compared.
    """

    kind: Literal["measured", "derived"]
    photos: int
    decisions: int | None = None
    max_absolute: float
    max_relative: float
    snr_db: float
    top1_agreement: float | None = None
    clear_decisions: int = 0
    clear_agreement: float | None = None
    agreement_interval: tuple[float, float] | None = None
    ties: float = 0.0
    saturation: float = 0.0
    layer_db: float | None = None
    first_departure: str | None = None
    layers_unknown: str | None = None
    passed: bool
    limits: dict[str, float]


class Manifest(BaseModel):
    """What travels with an artifact.

    `trained`: all its weights are a checkpoint's. `float_layers` are those that int8 keeps in float, as the recipe asks.
    """

    schema_version: int = 1
    recipe: str
    recipe_hash: str
    architecture: str
    variant: str
    model: dict[str, Any]
    target: str
    format: str
    file: str
    sha256: str
    size_bytes: int
    build_key: str
    weights: str
    weights_sha256: str | None
    trained: bool
    warnings: tuple[str, ...] = ()
    parameters: int
    multiply_adds: int
    contract: Literal["met", "no contract"]
    calibration_sha256: str
    calibration: dict[str, Any] = {}
    float_layers: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegation: Delegation | None
    parity: ParityResult
    tools: dict[str, str]
    compile_seconds: float
    published: dict[str, Any] | None = None


class Artifact:
    """A compiled file (or ``.mlpackage`` folder) in the cache and its manifest; beside it lie the model's parity files."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def path(self) -> Path:
        """The compiled file or folder."""
        return self.folder / self.manifest.file

    @property
    def target(self) -> Target:
        """The target it was compiled for."""
        return Target.parse(self.manifest.target)


class Backend(Protocol):
    """Compiles a model for its targets and, if possible, executes the result on this machine.

    A backend may also have ``layer_values(model, target, calibration, artifact, inputs)``. It returns the values of the
    artifact's convolutions and fully connected layers, in order, so that a wrong layer can be named.
    ``layers_of`` then says if they come from the ``artifact``, or from the ``graph`` before lowering.
    A backend whose `parity_kind` is measured may have `derived`: targets whose runtime this machine cannot have.

    `distributions` are the packages whose versions distinguish artifacts. `modules` are slow to load: they stay
    loaded between compilations. A backend whose packages are not in edgekit's extra ``convert`` has `extra`, the name of theirs.
    """

    name: str
    format: str
    targets: tuple[Target, ...]
    distributions: tuple[str, ...]
    modules: tuple[str, ...]
    parity_kind: Literal["measured", "derived"]

    def compile(self, model: nn.Module, target: Target, calibration: Inputs, output: Path) -> Compiled:
        """Write `model` to `output`; `calibration` holds example inputs, on which int8 is calibrated."""
        ...

    def execute(self, artifact: Path, inputs: Inputs) -> Outputs:
        """Run the artifact on this machine, one example at a time; one array per output, as `compile` listed them."""
        ...


def parity_kind(target: Target) -> Literal["measured", "derived"]:
    """Return whether artifacts for `target` run in their runtime here. UsageError for a target that nothing compiles."""
    backend = backend_of(target)
    return "derived" if target in getattr(backend, "derived", ()) else backend.parity_kind


def torch_spec(name: str, shape: Sequence[int]) -> TensorSpec:
    """Return the spec of a float32 tensor that is laid out as in the model."""
    layouts: dict[int, Literal["NC", "NAC", "NCHW"]] = {2: "NC", 3: "NAC", 4: "NCHW"}
    return TensorSpec(name=name, shape=tuple(shape), layout=layouts.get(len(shape), ""))


def input_specs(inputs: Inputs) -> tuple[TensorSpec, ...]:
    """Return the specs of float32 inputs that are laid out as in the model, for one example."""
    return tuple(torch_spec(name, (1, *array.shape[1:])) for name, array in inputs.arrays.items())


def by_name(specs: Sequence[TensorSpec], outputs: Outputs) -> dict[str, NDArray[np.float32]]:
    """Return name -> output in the model's own layout (channels before pixels)."""
    return {
        spec.name: output.transpose(0, 3, 1, 2) if spec.layout == "NHWC" else output
        for spec, output in zip(specs, outputs, strict=True)
    }


def in_layout(inputs: Inputs, specs: Sequence[TensorSpec]) -> list[Array]:
    """Return the arrays in the order and the layouts of an artifact's inputs."""
    arrays = inputs.arrays
    return [nhwc(arrays[spec.name]) if spec.layout == "NHWC" else arrays[spec.name] for spec in specs]


def backends() -> dict[str, Backend]:
    """Return the installed backends that work, by name (entry points ``edgekit.backends``). Loads no converter."""
    found = {}
    for name, entries in provided("edgekit.backends").items():
        with suppress(EdgekitError):  # :func:`backend_of` raises it, if the backend is used
            found[name] = _backend(entries)
    return found


def _backend(entries: Sequence[EntryPoint]) -> Backend:
    entry = only(entries)
    with using(entry):
        backend: Backend = entry.load()()
    return backend


def backend_of(target: Target) -> Backend:
    """Return the backend that compiles `target`; UsageError (``unsupported_target``) names the known ones.

    EdgekitError names the package of a broken plug-in.
    """
    known = backends()
    if target.backend not in known and (entries := provided("edgekit.backends").get(target.backend)):
        _backend(entries)  # which says why it does not work
    backend = known.get(target.backend)
    if backend is None or target not in backend.targets:
        targets = [str(target) for backend in known.values() for target in backend.targets]
        (nearest,) = difflib.get_close_matches(str(target), targets, n=1, cutoff=0)
        message = f"No backend compiles {target}; the nearest target is {nearest}."
        raise UsageError(message, f"Known targets: {', '.join(targets)}.", FailureKind.unsupported_target)
    return backend
