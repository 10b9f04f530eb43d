"""TFLite (LiteRT) with the XNNPACK delegate: litert-torch for fp32, ai-edge-quantizer on top of it for int8."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Compiled, Delegation, LayerValue, Outputs, TensorSpec
from edgekit.errors import EdgekitError, FailureKind
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

    from edgekit.backends.quantization.ranges import Range

FP32 = Target("tflite", "xnnpack", "fp32")
INT8 = Target("tflite", "xnnpack", "int8")
FP32_FORMS = {"max_pool": True}
INT8_FORMS = dict.fromkeys(
    ("hard_swish", "hard_sigmoid", "max_pool", "average_pool", "standalone_relu", "l2_norm"), True
)
"""What is written in its equivalent form (:mod:`edgekit.backends.rewrite`) so that the graph stays in one delegate."""
LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
MOVES_VALUES = {"CONCATENATION", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "STRIDED_SLICE", "TRANSPOSE"}
"""Operators whose output has the values, and the scale, of their inputs."""


class TFLite:
    """Inputs and outputs of rank 4 are float32 NHWC, other outputs float32; int8 graphs quantise inside.

    XNNPACK has HARD_SWISH in float: the fused operator is faster. It has none in int8: the decomposed form keeps the
    graph in one delegate.
    """

    name = "tflite"
    format = "tflite"
    targets = (FP32, INT8)
    distributions = ("litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert")
    modules = ("litert_torch", "ai_edge_quantizer.quantizer", "ai_edge_litert.interpreter", "edgekit.backends.rewrite")
    parity_kind = "measured"
    layers_of = "artifact"

    def compile(self, model: nn.Module, target: Target, calibration: Inputs, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        from edgekit.backends.quantization import optimise_for_int8
        from edgekit.backends.quantization.tflite_layers import float_outputs
        from edgekit.backends.rewrite import decompose

        shapes = _output_shapes(model, calibration)
        if target == INT8:
            with tempfile.TemporaryDirectory() as folder:
                unquantised = Path(folder) / "float.tflite"
                rewritten = decompose(optimise_for_int8(model, calibration), **INT8_FORMS)
                _convert(rewritten, calibration, shapes, unquantised)
                _quantise(unquantised, calibration, output, float_outputs(rewritten, unquantised))
        else:
            _convert(decompose(model, **FP32_FORMS), calibration, shapes, output)
        return _describe(output, calibration.names, shapes)

    def execute(self, artifact: Path, inputs: Inputs) -> Outputs:
        """See :class:`edgekit.backends.base.Backend`."""
        from ai_edge_litert.interpreter import Interpreter

        from edgekit.runners import infer

        arrays = list(inputs.channels_last().arrays.values())
        return infer(artifact, [arrays[place] for place, _ in _places(Interpreter(str(artifact)))])

    def layer_values(
        self, model: nn.Module, target: Target, calibration: Inputs, artifact: Path, inputs: Inputs
    ) -> list[LayerValue]:
        """Run the artifact operator by operator, without the delegate, which keeps its tensors to itself."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            str(artifact),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
        found = [node for node in interpreter._get_ops_details() if node["op_name"] in LAYERS]
        ends = [(int(node["inputs"][0]), int(node["outputs"][0])) for node in found]
        values: dict[int, list[NDArray[np.float32]]] = {index: [] for pair in ends for index in pair}
        for example in inputs:
            _set_inputs(interpreter, example)
            interpreter.invoke()
            for index, kept in values.items():
                kept.append(_dequantised(interpreter.get_tensor(index), details[index]))
        joined = {index: _nchw(np.concatenate(kept)) for index, kept in values.items()}
        weights = [_torch_shape(node["op_name"], details[int(node["inputs"][1])]["shape"].tolist()) for node in found]
        return [
            LayerValue(joined[input], joined[output], weight, *_steps(details[output]))
            for (input, output), weight in zip(ends, weights, strict=True)
        ]


def _steps(detail: dict[str, Any]) -> tuple[float, tuple[float, float]]:
    """Return the scale and range of an integer tensor. A float tensor has no limits."""
    scale, zero_point = detail["quantization"]
    if not scale:
        return 0.0, (-math.inf, math.inf)
    limits = np.iinfo(detail["dtype"])
    return float(scale), (float(scale * (limits.min - zero_point)), float(scale * (limits.max - zero_point)))


def _torch_shape(operator: str, shape: list[int]) -> tuple[int, ...]:
    """Return the shape that PyTorch's weight has for one of TFLite's, whose channels are the last."""
    if operator == "FULLY_CONNECTED":
        return tuple(shape)
    outputs, height, width, inputs = shape
    return (inputs, 1, height, width) if operator == "DEPTHWISE_CONV_2D" else (outputs, inputs, height, width)


def _nchw(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if values.ndim == 4 else values


def _places(interpreter: Any) -> list[tuple[int, dict[str, Any]]]:
    """Return the inputs in the order of the file, each with its place among the model's arguments.

    The converter's signature calls them args_0, args_1 ...; it leads to the tensor by its index.
    """
    signature = interpreter.get_signature_runner().get_input_details()
    places = {detail["index"]: int(key.rpartition("_")[2]) for key, detail in signature.items()}
    return [(places[detail["index"]], detail) for detail in interpreter.get_input_details()]


def _set_inputs(interpreter: Any, example: Inputs) -> None:
    """Give one example to an interpreter, images with channels last."""
    arrays = list(example.channels_last().arrays.values())
    for place, detail in _places(interpreter):
        interpreter.set_tensor(detail["index"], arrays[place])


def _dequantised(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale) if scale else values.astype(np.float32)


def _convert(model: nn.Module, calibration: Inputs, shapes: dict[str, tuple[int, ...]], output: Path) -> None:
    import litert_torch

    example = calibration[:1]
    images = [index for index, array in enumerate(example.arrays.values()) if array.ndim == 4]
    pixels = [index for index, shape in enumerate(shapes.values()) if len(shape) == 4]
    channels_last = litert_torch.to_channel_last_io(model, args=images, outputs=pixels).eval()
    litert_torch.convert(channels_last, example.channels_last().tensors()).export(str(output))


def _output_shapes(model: nn.Module, calibration: Inputs) -> dict[str, tuple[int, ...]]:
    from edgekit.architectures.outputs import named_outputs

    outputs = named_outputs(model, *calibration[:1].tensors())
    return {name: tuple(output.shape) for name, output in outputs.items()}


def _quantise(source: Path, calibration: Inputs, output: Path, float_tensors: Collection[str] = ()) -> None:
    """Quantise everything to int8, except layers whose result is an output or joined to one.

    The input of such a layer is quantised at run time. Its result is float and cannot saturate, in the same delegate.
    Joins are float too, because joined integers would share one scale. Other outputs have a range with a margin.
    Operators that write one of `float_tensors` stay in float.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.qtyping import TFLOperationName

    interpreter = Interpreter(str(source))
    signature = next(iter(interpreter.get_signature_list()))
    makers = _output_makers(interpreter)
    int8 = quantizer.Quantizer(str(source))
    int8.load_quantization_recipe(recipe.static_wi8_ai8())
    for name, operation in (layer for made in makers for layer in _float_layers(made)):
        int8.add_dynamic_config(re.escape(name), TFLOperationName[operation], 8)
    for name in (*float_tensors, *(name for made in makers for name in _joining(made))):
        int8.update_quantization_recipe(f"^{re.escape(name)};", TFLOperationName.ALL_SUPPORTED, None, "no_quantize")
    for operation in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        int8.update_quantization_recipe(regex=".*", operation_name=operation, algorithm_key="no_quantize")
    arrays = calibration[:1].channels_last().arrays.values()
    first = {f"args_{index}": array for index, array in enumerate(arrays)}
    statistics = int8.calibrate({signature: [first]})  # of which tensors the quantizer wants to know the range
    ranges = _ranges(source, calibration, set(statistics))
    limits = {name: found.best for name, found in ranges.items()}
    for made in makers:
        limits |= _output_limits(made, ranges)
    for name, (low, high) in limits.items():
        for key, value in (("min", low), ("max", high)):
            statistics[name][key] = np.full_like(statistics[name][key], value)
    int8.quantize(statistics).export_model(str(output), overwrite=True)


def _output_makers(interpreter: Any) -> list[dict[str, str]]:
    """Return for each output the tensor that holds it, and those that it is joined or resized from: name -> operator."""
    names = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details()}
    made_by = {int(output): node for node in interpreter._get_ops_details() for output in node["outputs"]}
    outputs = []
    for detail in interpreter.get_output_details():
        found: dict[str, str] = {}
        waiting = [detail["index"]]
        while waiting:
            index = waiting.pop()
            if node := made_by.get(index):
                found[names[index]] = node["op_name"]
                if node["op_name"] in MOVES_VALUES:
                    waiting += [int(input) for input in node["inputs"] if int(input) in made_by]
        outputs.append(found)
    return outputs


def _float_layers(makers: dict[str, str]) -> list[tuple[str, str]]:
    """Return the layers, and their operators, that give an output its values; none if those are resized afterwards.

    Resizing a map in float takes longer than in int8, and a class for each pixel hardly needs it.
    """
    if "RESIZE_BILINEAR" in makers.values():
        return []
    return [(name, operation) for name, operation in makers.items() if operation in {"CONV_2D", "FULLY_CONNECTED"}]


def _joining(makers: dict[str, str]) -> list[str]:
    """Return the tensors of an output that only move values, if it is joined from several."""
    joined = "CONCATENATION" in makers.values()
    return [name for name, operation in makers.items() if joined and operation in MOVES_VALUES]


def _output_limits(makers: dict[str, str], ranges: dict[str, Range]) -> dict[str, tuple[float, float]]:
    """Return the range with margin of the tensors that make an output in int8; what is resized to it has its scale."""
    float_layers = dict(_float_layers(makers))
    limits = {name: ranges[name].with_margin for name in makers if name not in float_layers and name in ranges}
    if not limits or _joining(makers):
        return limits
    low, high = min(low for low, _ in limits.values()), max(high for _, high in limits.values())
    return dict.fromkeys(limits, (low, high))


def _ranges(source: Path, calibration: Inputs, wanted: Collection[str]) -> dict[str, Range]:
    """Return the ranges of the activations among the `wanted` tensors, from running every calibration image."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edgekit.backends.quantization.ranges import Range

    interpreter = Interpreter(
        str(source),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    computed = {int(output) for node in interpreter._get_ops_details() for output in node["outputs"]}
    computed |= {detail["index"] for detail in interpreter.get_input_details()}
    tensors = {
        detail["index"]: detail["name"]
        for detail in interpreter.get_tensor_details()
        if detail["index"] in computed and detail["name"] in wanted and detail["dtype"] == np.float32
    }
    ranges = {name: Range() for name in tensors.values()}
    for example in calibration:
        _set_inputs(interpreter, example)
        interpreter.invoke()
        for index, name in tensors.items():
            ranges[name].add(interpreter.get_tensor(index))
    return ranges


def _describe(path: Path, names: Sequence[str], shapes: dict[str, tuple[int, ...]]) -> Compiled:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return Compiled(
        inputs=tuple(_spec(detail, names[place]) for place, detail in _places(interpreter)),
        outputs=name_outputs(outputs, interpreter.get_signature_runner().get_output_details(), shapes),
        delegation=_delegation(interpreter, {detail["index"] for detail in inputs + outputs}),
    )


def name_outputs(
    details: Sequence[dict[str, Any]], signature: dict[str, dict[str, Any]], shapes: dict[str, tuple[int, ...]]
) -> tuple[TensorSpec, ...]:
    """Return the specs of a file's outputs in the order of the file, which is not always the model's.

    The converter's signature calls the model's outputs output_0, output_1 ...; it leads to the tensor by its index. `shapes` are
    the model's outputs in its own order and layout. EdgekitError (``compilation``) if one does not fit its name.
    """
    places = {detail["index"]: int(key.rpartition("_")[2]) for key, detail in signature.items()}
    if unknown := [detail["name"] for detail in details if detail["index"] not in places]:
        message = f"The quantizer lost the output {', '.join(unknown)}, which the model also reads internally."
        hint = "Return it from a separate layer, or omit int8: --target tflite/xnnpack/fp32"
        raise EdgekitError(FailureKind.compilation, "compile", message, hint)
    names = list(shapes)
    specs = tuple(_spec(detail, names[places[detail["index"]]]) for detail in details)
    for spec in specs:
        shape = shapes[spec.name]
        expected = (shape[0], *shape[2:], shape[1]) if spec.layout == "NHWC" else shape
        if spec.shape != expected:
            message = f"The converter gave the output {spec.name} the shape {spec.shape}, not {expected}."
            raise EdgekitError(FailureKind.compilation, "compile", message)
    return specs


def _spec(detail: dict[str, Any], name: str) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    quantised = {"scale": float(scale), "zero_point": int(zero_point)} if scale else {}
    shape = tuple(int(side) for side in detail["shape"])
    layouts: dict[int, Any] = {2: "NC", 3: "NAC", 4: "NHWC"}
    dtype = np.dtype(detail["dtype"]).name
    return TensorSpec(name=name, shape=shape, dtype=dtype, layout=layouts.get(len(shape), ""), **quantised)


def _delegation(interpreter: Any, ends: set[int]) -> Delegation:
    """Complete: a single delegate that reads the graph's inputs and writes its outputs (the interpreter lists no leftovers)."""
    parts = [node for node in interpreter._get_ops_details() if node["op_name"] == "DELEGATE"]
    touched = {int(index) for node in parts for index in (*node["inputs"], *node["outputs"])}
    return Delegation(partitions=len(parts), complete=len(parts) == 1 and ends <= touched)
