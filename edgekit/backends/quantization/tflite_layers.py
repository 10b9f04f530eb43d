"""The operators of a TFLite file that compute the layers of the model.

Layers are found by their weights. Tensor names are not reliable: they depend on the converter's fusions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from torch import nn

LAYER_OPERATORS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def float_outputs(model: nn.Module, source: Path) -> list[str]:
    """Return the names of the tensors that the float layers of `model` write in the unquantised file `source`.

    EdgekitError (``compilation``) names a layer whose weights no operator of the file has.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edgekit.backends.quantization.float_layers import float_layers

    wanted = float_layers(model)
    if not wanted:
        return []
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(source), experimental_op_resolver_type=resolver)
    operators = _weighted_operators(interpreter)
    found = []
    for name in wanted:
        weight = as_tflite(model.get_submodule(name))
        tensors = [tensor for tensor, own in operators if own.size == weight.size and np.array_equal(own, weight)]
        if not tensors:
            message = f"The layer {name} cannot stay in float: no operator of the TFLite graph has its weights."
            hint = "Remove it from quantization.float_layers in the recipe."
            raise EdgekitError(FailureKind.compilation, "compile", message, hint)
        found += tensors
    return found


def _weighted_operators(interpreter: Any) -> list[tuple[str, NDArray[np.float32]]]:
    """Return the output tensor's name and the flat weights of every convolution and fully connected layer."""
    names = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details()}
    made = {int(output) for node in interpreter._get_ops_details() for output in node["outputs"]}
    inputs = {detail["index"] for detail in interpreter.get_input_details()}
    return [
        (names[int(node["outputs"][0])], interpreter.get_tensor(int(node["inputs"][1])).ravel())
        for node in interpreter._get_ops_details()
        if node["op_name"] in LAYER_OPERATORS and int(node["inputs"][1]) not in made | inputs
    ]


def as_tflite(layer: nn.Module) -> NDArray[np.float32]:
    """Return the weights of a convolution or a fully connected layer, flat, in the order in which TFLite stores them."""
    from torch import nn

    assert isinstance(layer, nn.Conv2d | nn.Linear)
    weight: NDArray[np.float32] = layer.weight.detach().numpy()
    if isinstance(layer, nn.Linear):
        return weight.ravel()
    depthwise = layer.groups > 1 and weight.shape[1] == 1
    return weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)).ravel()
