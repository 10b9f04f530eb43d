"""The first layer of an artifact that departs from PyTorch, by comparison of layer outputs.

A backend returns the inputs and outputs of the artifact's convolutions and fully connected layers (`layer_values`),
in the order in which they run. The model's layers have the same order; their shapes are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import LayerValue, backend_of
from edgekit.build.parity import EQUAL_DB
from edgekit.errors import EdgekitError, FailureKind
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

IMAGES = 4
"""The number of parity images: the outputs of all their layers are in memory together."""
DEPARTS_DB = {"fp32": 60.0, "fp16": 30.0, "int8": 10.0}
"""Below this signal-to-noise ratio a layer departs, as the whole artifact does."""
WRONG_ALONE_DB = {"fp32": 60.0, "fp16": 30.0, "int8": 33.0}
"""Below this, a layer computes something else than PyTorch from the same input."""
ROUNDING = 2.0
"""The tolerated multiple of the noise of rounding to a layer's steps."""


@dataclass(frozen=True)
class LayerParity:
    """How far a layer's output is from PyTorch's, in dB.

    `so_far`: with all layers before it. `alone`: for the artifact's input of this layer, without the cost of its
    rounding and range.
    """

    name: str
    so_far: float
    alone: float


def compare_layers(
    model: nn.Module, target: Target, calibration: Inputs, artifact: Path, inputs: Inputs
) -> list[LayerParity]:
    """Compare the layers of an artifact of `model` on some examples, in the order in which they run.

    EdgekitError (``unsupported_target``) if the backend does not show its layers, or they are not those of the model.
    """
    backend = backend_of(target)
    if not hasattr(backend, "layer_values"):
        message = f"The backend {backend.name} does not show what its layers compute."
        raise EdgekitError(FailureKind.unsupported_target, "parity", message)
    inputs = inputs[:IMAGES]
    values = backend.layer_values(model, target, calibration, artifact, inputs)
    exact, own = _references(model, target, calibration, inputs)
    return [
        LayerParity(name, _snr_db(wanted, value.output), _alone_db(own[name], value))
        for name, wanted, value in _matched(exact, own, values)
    ]


def first_departure(layers: Sequence[LayerParity], precision: str) -> LayerParity | None:
    """Return the first layer that computes something else from its input, else the first that departs."""
    alone = (layer for layer in layers if layer.alone < WRONG_ALONE_DB[precision])
    so_far = (layer for layer in layers if layer.so_far < DEPARTS_DB[precision])
    return next(alone, None) or next(so_far, None)


@dataclass(frozen=True)
class _Applied:
    """A layer of a graph with its activation, ready to be applied to an input."""

    node: fx.Node
    layer: Any
    activation: fx.Node | None


def _references(
    model: nn.Module, target: Target, calibration: Inputs, inputs: Inputs
) -> tuple[dict[str, NDArray[np.float32]], dict[str, _Applied]]:
    """Return layer -> its float output, and layer -> the weights that the artifact should apply."""
    import torch

    from edgekit.backends.quantization import equalise_for_int8, optimise_for_int8
    from edgekit.backends.quantization.graph import export, fold_batch_norm

    batch = inputs.tensors()
    with torch.no_grad():
        if target.precision == "int8":
            exact, own = equalise_for_int8(model, calibration), optimise_for_int8(model, calibration)
        else:
            exact = own = fold_batch_norm(model, batch).model
        return _outputs(exact, export(exact, batch), batch), _layers(own, export(own, batch))


def _layers(model: nn.Module, graph: fx.GraphModule) -> dict[str, _Applied]:
    from edgekit.backends.quantization.graph import activation_after, layers

    return {
        layer.name: _Applied(layer.node, layer.module, activation_after(layer.node)) for layer in layers(model, graph)
    }


def _outputs(model: nn.Module, graph: fx.GraphModule, inputs: tuple[Tensor, ...]) -> dict[str, NDArray[np.float32]]:
    from edgekit.backends.quantization.graph import record

    found = _layers(model, graph)
    nodes = {name: layer.activation or layer.node for name, layer in found.items()}
    values = record(graph, set(nodes.values()), inputs)
    return {name: values[node].numpy() for name, node in nodes.items()}


def _alone_db(applied: _Applied, value: LayerValue) -> float:
    """Return the ratio of a layer alone, without the cost of rounding and clipping."""
    wanted = _alone(applied, value.input).clip(*value.range)
    return _snr_db(wanted, value.output, rounding=ROUNDING * value.step**2 / 12)


def _alone(applied: _Applied, input: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what PyTorch computes of the artifact's own input of a layer."""
    import torch

    from edgekit.backends.quantization.graph import PADS, arguments

    source, _, *rest = arguments(applied.node)
    rest[:1] = [applied.layer.bias]
    given = torch.from_numpy(input)
    if source.target in PADS and given.shape[2:] != source.meta["val"].shape[2:]:
        given = source.target(given, *arguments(source)[1:])  # the runtime pads within the layer
    elif len(rest) > 2 and given.shape[2:] != source.meta["val"].shape[2:]:
        rest[2] = [0, 0]  # the runtime pads before the layer
    with torch.no_grad():
        output = applied.node.target(given, applied.layer.weight, *rest)  # type: ignore[operator]
        if applied.activation is not None:
            output = applied.activation.target(output, *arguments(applied.activation)[1:])  # type: ignore[operator]
    return np.asarray(output)


def _matched(
    exact: Mapping[str, NDArray[np.float32]], own: Mapping[str, _Applied], values: Sequence[LayerValue]
) -> list[tuple[str, NDArray[np.float32], LayerValue]]:
    """Match layers by order and shape. Layers that only one side has are skipped."""
    found, waiting = [], list(exact.items())
    for value in values:
        for place, (name, wanted) in enumerate(waiting):
            if wanted.shape == value.output.shape and tuple(own[name].layer.weight.shape) == value.weight:
                found.append((name, wanted, value))
                waiting = waiting[place + 1 :]
                break
    if not found:
        message = "The layers of the artifact are not those of the model: none has the same shape."
        raise EdgekitError(FailureKind.unsupported_target, "parity", message)
    return found


def _snr_db(wanted: NDArray[np.float32], found: NDArray[np.float32], rounding: float = 0.0) -> float:
    """Return signal over noise; `rounding` is the power of the noise that is as it should be."""
    signal = float(np.square(wanted, dtype=np.float64).mean())
    noise = float(np.square(found - wanted, dtype=np.float64).mean()) - rounding
    if not np.isfinite(noise):
        return -EQUAL_DB
    if noise <= 0:
        return EQUAL_DB
    return float(10 * np.log10(max(signal, 1e-30) / noise))
