"""TFLite (LiteRT) with the XNNPACK delegate: litert-torch for fp32, ai-edge-quantizer on top of it for int8."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.backends.base import Compiled, Delegation, Images, Outputs, TensorSpec
from edgekit.errors import EdgekitError, FailureKind
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

FP32 = Target("tflite", "xnnpack", "fp32")
INT8 = Target("tflite", "xnnpack", "int8")
FP32_FORMS = {"max_pool": True}
INT8_FORMS = dict.fromkeys(
    ("hard_swish", "hard_sigmoid", "max_pool", "average_pool", "standalone_relu", "l2_norm"), True
)
"""What is written in its equivalent form (:mod:`edgekit.backends.rewrite`) so that the graph stays in one delegate."""


class TFLite:
    """Inputs and outputs of rank 4 are float32 NHWC, other outputs float32; int8 graphs quantise inside.

    XNNPACK has HARD_SWISH in float, where the fused operator is faster, and not in int8, where the decomposed form keeps the
    graph in one delegate.
    """

    name = "tflite"
    format = "tflite"
    targets = (FP32, INT8)
    distributions = ("litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert")
    modules = ("litert_torch", "ai_edge_quantizer.quantizer", "ai_edge_litert.interpreter", "edgekit.backends.rewrite")
    parity_kind = "measured"

    def compile(self, model: nn.Module, target: Target, calibration: Images, output: Path) -> Compiled:
        """See :class:`edgekit.backends.base.Backend`."""
        from edgekit.backends.rewrite import decompose

        shapes = _output_shapes(model, calibration)
        if target == INT8:
            with tempfile.TemporaryDirectory() as folder:
                unquantised = Path(folder) / "float.tflite"
                _convert(decompose(model, **INT8_FORMS), calibration, shapes, unquantised)
                _quantise(unquantised, calibration, output)
        else:
            _convert(decompose(model, **FP32_FORMS), calibration, shapes, output)
        return _describe(output, shapes)

    def execute(self, artifact: Path, images: Images) -> Outputs:
        """See :class:`edgekit.backends.base.Backend`."""
        from edgekit.runners import infer

        return infer(artifact, np.ascontiguousarray(images.transpose(0, 2, 3, 1)))


def _convert(model: nn.Module, calibration: Images, shapes: dict[str, tuple[int, ...]], output: Path) -> None:
    import litert_torch
    import torch

    example = torch.from_numpy(calibration[:1]).permute(0, 2, 3, 1).contiguous()
    pixels = [index for index, shape in enumerate(shapes.values()) if len(shape) == 4]
    channels_last = litert_torch.to_channel_last_io(model, args=[0], outputs=pixels).eval()
    litert_torch.convert(channels_last, (example,)).export(str(output))


def _output_shapes(model: nn.Module, calibration: Images) -> dict[str, tuple[int, ...]]:
    import torch

    from edgekit.models.outputs import named_outputs

    outputs = named_outputs(model, torch.from_numpy(calibration[:1]))
    return {name: tuple(output.shape) for name, output in outputs.items()}


def _quantise(source: Path, calibration: Images, output: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.qtyping import TFLOperationName

    interpreter = Interpreter(str(source))
    signature = next(iter(interpreter.get_signature_list()))
    input_name = next(iter(interpreter.get_signature_runner().get_input_details()))
    floats_outside = [
        {"regex": ".*", "operation": operation, "algorithm_key": "no_quantize", "op_config": {}}
        for operation in (TFLOperationName.INPUT, TFLOperationName.OUTPUT)
    ]
    int8 = quantizer.Quantizer(str(source))
    int8.load_quantization_recipe([*recipe.static_wi8_ai8(), *floats_outside])
    samples = [{input_name: np.ascontiguousarray(image.transpose(1, 2, 0)[None])} for image in calibration]
    int8.quantize(int8.calibrate({signature: samples})).export_model(str(output), overwrite=True)


def _describe(path: Path, shapes: dict[str, tuple[int, ...]]) -> Compiled:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return Compiled(
        inputs=tuple(_spec(detail, "image") for detail in inputs),
        outputs=name_outputs(outputs, interpreter.get_signature_runner().get_output_details(), shapes),
        delegation=_delegation(interpreter, {detail["index"] for detail in inputs + outputs}),
    )


def name_outputs(
    details: Sequence[dict[str, Any]], signature: dict[str, dict[str, Any]], shapes: dict[str, tuple[int, ...]]
) -> tuple[TensorSpec, ...]:
    """Return the specs of a file's outputs in the order of the file, which is not always the model's.

    The converter's signature calls the model's outputs output_0, output_1 ...; it leads to the tensor by its index. `shapes` are
    the model's outputs in its own order and layout: EdgekitError (``compilation``) where one does not fit its name.
    """
    places = {detail["index"]: int(key.rpartition("_")[2]) for key, detail in signature.items()}
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
    return TensorSpec(name=name, shape=shape, dtype=dtype, layout=layouts[len(shape)], **quantised)


def _delegation(interpreter: Any, ends: set[int]) -> Delegation:
    """Complete: a single delegate that reads the graph's inputs and writes its outputs (the interpreter lists no leftovers)."""
    parts = [node for node in interpreter._get_ops_details() if node["op_name"] == "DELEGATE"]
    touched = {int(index) for node in parts for index in (*node["inputs"], *node["outputs"])}
    return Delegation(partitions=len(parts), complete=len(parts) == 1 and ends <= touched)
