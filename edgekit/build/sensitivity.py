"""How sensitive each layer is to int8: only this layer is quantised, and the outputs are compared with fp32.

The layer gets what it has in an int8 artifact: weights on the grid, a corrected bias, an output of 256 steps.
Everything else stays in float. The errors of an artifact do not add up exactly like these.
So the order of the layers is only an estimate. The artifacts that are built after the scan measure what it is worth.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekit.architectures.inputs import Inputs
from edgekit.backends.quantization.equalization import equalise
from edgekit.backends.quantization.graph import Layer, arguments, export, fold_batch_norm, layers, quantised_nodes
from edgekit.backends.quantization.rounding import fake_quantise, mean_shift, patches, round_layer
from edgekit.build.jobs import ScanJob
from edgekit.build.parity import NamedOutputs, compare
from edgekit.build.prepare import load_prepared
from edgekit.recipe.limits import ParityLimits

SCAN_IMAGES = 16
"""So many images round the layers, and so many others measure them. The scan runs the model once for each layer."""


@dataclass(frozen=True)
class Sensitivity:
    """A layer and the signal-to-noise ratio of the outputs in dB if only this layer is quantised."""

    name: str
    snr_db: float


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer as int8 computes it. `ends` of the output's range are (2,). The output of `stored` is quantised.

    `stored` is the layer's own node, or that of the activation which is fused into it. It is None if the layer's
    output stays in float.
    """

    layer: Layer
    weight: Tensor
    bias: Tensor
    stored: fx.Node | None
    ends: Tensor


def scan(job: ScanJob) -> list[dict[str, Any]]:
    """Scan a prepared model. Returns the layers as dictionaries, the most sensitive first.

    Runs in a separate process.
    """
    folder = job.prepared
    model = load_prepared(job.recipe, folder)
    found = layer_sensitivities(model, Inputs.load(folder / "calibration.npz"), Inputs.load(folder / "parity.npz"))
    return [asdict(layer) for layer in found]


def layer_sensitivities(model: nn.Module, calibration: Inputs, parity: Inputs) -> list[Sensitivity]:
    """Return the layers of `model` (eval mode), the most sensitive first.

    At most SCAN_IMAGES of each are used.
    """
    count = min(SCAN_IMAGES, len(calibration), len(parity))
    seen, judged = (examples[:count].tensors() for examples in (calibration, parity))
    with torch.no_grad():
        folded = fold_batch_norm(model, seen)
        equalise(folded, seen)
        graph = export(folded.model, seen)
        exact = _named(model, fx.Interpreter(graph).run(*judged))
        found = [
            Sensitivity(
                quantised.layer.name, _snr_db(exact, _named(model, _OneQuantised(graph, quantised).run(*judged)))
            )
            for quantised in _quantise_each(folded.model, graph, seen)
        ]
    return sorted(found, key=lambda layer: layer.snr_db)


def _quantise_each(model: nn.Module, graph: fx.GraphModule, inputs: tuple[Tensor, ...]) -> list[QuantisedLayer]:
    collecting = _Collecting(model, graph)
    collecting.run(*inputs)
    return collecting.found()


class _Collecting(fx.Interpreter):
    """Runs the float network, quantises each layer for its exact input, and notes the range of its output."""

    def __init__(self, model: nn.Module, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        stored = quantised_nodes(graph)
        self._layers = {layer.node: layer for layer in layers(model, graph)}
        self._stored = {node: node if node in stored else next(iter(node.users)) for node in self._layers}
        self._weights: dict[fx.Node, tuple[Tensor, Tensor]] = {}
        self._ends: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self._layers:
            (input, _, *rest), kwargs = self.fetch_args_kwargs_from_env(n)
            layer = self._layers[n]
            weight = round_layer(layer, patches(layer, input))
            shift = mean_shift(layer, value, n.target(input, weight, *rest, **kwargs))  # type: ignore[operator]
            own = layer.module.bias
            self._weights[n] = weight, shift if own is None else own + shift
        if n in self._stored.values():
            self._ends[n] = torch.stack([value.min(), value.max()])
        return value

    def found(self) -> list[QuantisedLayer]:
        """Return the layers in the order of the graph."""
        return [
            QuantisedLayer(layer, *self._weights[node], None if _is_float_output(layer) else stored, self._ends[stored])
            for (node, layer), stored in zip(self._layers.items(), self._stored.values(), strict=True)
        ]


def _is_float_output(layer: Layer) -> bool:
    """Return whether it is a fully connected layer that makes an output: backends leave its result in float."""
    return isinstance(layer.module, nn.Linear) and all(user.op == "output" for user in layer.node.users)


class _OneQuantised(fx.Interpreter):
    """Runs the network with one quantised layer."""

    def __init__(self, graph: fx.GraphModule, quantised: QuantisedLayer) -> None:
        super().__init__(graph)
        self._quantised = quantised

    def run_node(self, n: fx.Node) -> Any:
        quantised = self._quantised
        if n is quantised.layer.node:
            input, rest = self.fetch_args_kwargs_from_env(n)[0][0], arguments(n)[3:]
            value = n.target(input, quantised.weight, quantised.bias, *rest, **n.kwargs)  # type: ignore[operator]
        else:
            value = super().run_node(n)
        return fake_quantise(value, quantised.ends) if n is quantised.stored else value


def _named(model: nn.Module, outputs: Any) -> NamedOutputs:
    names = getattr(model, "output_names", ("logits",))
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


def _snr_db(exact: NamedOutputs, quantised: NamedOutputs) -> float:
    return compare(exact, quantised, "int8", ParityLimits(), kind="derived", trained=True).snr_db
