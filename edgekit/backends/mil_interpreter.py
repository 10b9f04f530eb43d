"""A reference executor: runs a saved Core ML program in torch on machines without Core ML.

Variables that the program declares fp16 hold values rounded to fp16 after every operator; the arithmetic inside an
operator is float32. Apple's hardware accumulates similarly, not identically: results are of kind
``derived``.

Operator semantics are those of coremltools' MIL definitions (``coremltools/converters/mil/mil/ops/defs``). A new
operator is one function under ``_operator``. Its parameters are the operator's inputs by name: floating-point tensors
arrive as float32, constant integers, strings and booleans as plain Python values (lists for vectors),
several variables as a list. An input that the program omits, and that has no default in MIL, is omitted here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load as load_mil
from coremltools.converters.mil.mil import types
from coremltools.models import MLModel
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgekit.errors import EdgekitError, FailureKind

Operator = Callable[..., Tensor]

OPERATORS: dict[str, Operator] = {}
"""MIL operator type -> its function; ``const`` and ``constexpr_*`` are missing because coremltools evaluates them."""


def _operator(function: Operator) -> Operator:
    OPERATORS[function.__name__.removeprefix("_")] = function
    return function


@dataclass(frozen=True)
class Program:
    """A loaded ML program with float32 inputs, ready to run."""

    output_names: tuple[str, ...]
    _operations: list[Any]
    _inputs: dict[str, Any]
    _outputs: list[Any]
    _constants: dict[Any, Any]

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Input name -> shape."""
        return {name: tuple(variable.shape) for name, variable in self._inputs.items()}

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return output name -> float32 array for one example: input name -> float32 array of its shape.

        ValueError for another shape; EdgekitError(unsupported_operator) for an attribute that no function here knows.
        """
        values = self._values(inputs)
        return {variable.name: values[variable].numpy() for variable in self._outputs}

    def layers(
        self, inputs: Mapping[str, NDArray[np.float32]]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, ...]]]:
        """Return input, activated output and shape of the weights of every convolution and fully connected layer."""
        values = self._values(inputs)
        found = []
        for operation in self._operations:
            if operation.op_type in {"conv", "linear"}:
                (output,) = operation.outputs
                readers = output.child_ops
                if len(readers) == 1 and readers[0].op_type in {"relu", "relu6", "clip"}:
                    (output,) = readers[0].outputs
                weight = tuple(int(side) for side in operation.inputs["weight"].shape)
                found.append((values[operation.inputs["x"]].numpy(), values[output].numpy(), weight))
        return found

    def _values(self, given: Mapping[str, NDArray[np.float32]]) -> dict[Any, Any]:
        for name, shape in self.input_shapes.items():
            if given[name].shape != shape:
                raise ValueError(f"{name} has shape {shape}, not {given[name].shape}")
        values = {
            **self._constants,
            **{variable: _rounded(torch.tensor(given[name]), variable) for name, variable in self._inputs.items()},
        }
        with torch.inference_mode():
            for operation in self._operations:
                inputs = {name: _given(variable, values) for name, variable in operation.inputs.items()}
                (output,) = operation.outputs
                values[output] = _rounded(OPERATORS[operation.op_type](**inputs), output)
        return values


def load(path: Path) -> Program:
    """Read the ``.mlpackage`` folder at `path`.

    EdgekitError: unsupported_operator naming every operator of the program that is not known here;
    unsupported_target if it is not an ML program.
    """
    model = MLModel(str(path), skip_model_load=True)  # loading for prediction needs a Mac
    spec = model.get_spec()
    if spec.WhichOneof("Type") != "mlProgram":
        raise EdgekitError(FailureKind.unsupported_target, "parity", f"{path.name} is not an ML program")
    _check_operators(spec.mlProgram.functions["main"], path)
    function = load_mil(spec, spec.specificationVersion, model.weights_dir).functions["main"]
    constants = {
        operation.outputs[0]: _constant(operation)
        for operation in function.operations
        if _is_constant(operation.op_type)
    }
    return Program(
        output_names=tuple(output.name for output in spec.description.output),
        _operations=[operation for operation in function.operations if not _is_constant(operation.op_type)],
        _inputs=dict(function.inputs),
        _outputs=function.outputs,
        _constants=constants,
    )


def _is_constant(op_type: str) -> bool:
    return op_type == "const" or op_type.startswith("constexpr_")


def _check_operators(function: Any, path: Path) -> None:
    # On the stored specification, because coremltools raises other errors for operators that it cannot load.
    used = {operation.type for block in function.block_specializations.values() for operation in block.operations}
    unknown = sorted(op_type for op_type in used - OPERATORS.keys() if not _is_constant(op_type))
    if unknown:
        raise EdgekitError(
            FailureKind.unsupported_operator,
            "parity",
            f"the reference executor does not know these operators of {path.name}: {', '.join(unknown)}",
            "add one function per operator to edgekit/backends/mil_interpreter.py",
        )


def _constant(operation: Any) -> Any:
    """Return what an operator function is given: a float32 tensor or a plain Python value."""
    value = operation.val.val if operation.op_type == "const" else operation.materialized_val_inference()
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    return array.tolist()


def _given(variable: Any, values: dict[Any, Any]) -> Any:
    return [values[item] for item in variable] if isinstance(variable, list | tuple) else values[variable]


def _rounded(value: Tensor, variable: Any) -> Tensor:
    return value.half().float() if variable.dtype == types.fp16 else value


@_operator
def _conv(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: list[int],
    pad_type: str,
    pad: list[int],
    dilations: list[int],
    groups: int,
) -> Tensor:
    """Convolve (N, C, *D), D of 1 to 3 dimensions.

    ``same`` is TensorFlow's: output size ceil(input / stride), an odd one goes after (``same_lower``: before).
    """
    windows = [(kernel - 1) * dilation + 1 for kernel, dilation in zip(weight.shape[2:], dilations, strict=True)]
    pad = _pads(x, windows, strides, pad_type, pad)
    no_output_padding = [0] * len(strides)
    return torch.convolution(
        _zero_padded(x, pad), weight, bias, strides, no_output_padding, dilations, False, no_output_padding, groups
    )


def _pads(x: Tensor, windows: list[int], strides: list[int], pad_type: str, pad: list[int]) -> list[int]:
    """Return (before, after) of each spatial dimension for a MIL pad_type; `pad` is what ``custom`` says."""
    if pad_type == "custom":
        return pad
    if pad_type == "valid":
        return [0] * len(strides) * 2
    pads = []
    for size, window, stride in zip(x.shape[2:], windows, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        less, more = total // 2, total - total // 2
        pads += [less, more] if pad_type == "same" else [more, less]
    return pads


def _zero_padded(x: Tensor, pad: list[int]) -> Tensor:
    """Pad the last dimensions; `pad` is MIL's: (before, after) in the order of the dimensions."""
    return functional.pad(x, _torch_order(pad)) if any(pad) else x


def _torch_order(pad: list[int]) -> list[int]:
    """Return MIL's pad list in torch's order: (before, after) from the last dimension to the first."""
    return [amount for before in range(len(pad) - 2, -1, -2) for amount in pad[before : before + 2]]


@_operator
def _pad(x: Tensor, pad: list[int], mode: str, constant_val: Tensor) -> Tensor:
    if mode != "constant":
        raise EdgekitError(
            FailureKind.unsupported_operator, "parity", f"the reference executor does not know pad with mode {mode}"
        )
    return functional.pad(x, _torch_order(pad), value=float(constant_val))


@_operator
def _max_pool(
    x: Tensor, kernel_sizes: list[int], strides: list[int], pad_type: str, pad: list[int], ceil_mode: bool
) -> Tensor:
    pads = _pads(x, kernel_sizes, strides, pad_type, pad)
    if ceil_mode:  # so that the last window, which begins within the input, is whole
        pads = _extended(x, kernel_sizes, strides, pads)
    return functional.max_pool2d(
        functional.pad(x, _torch_order(pads), value=float("-inf")), tuple(kernel_sizes), tuple(strides)
    )


def _extended(x: Tensor, windows: list[int], strides: list[int], pads: list[int]) -> list[int]:
    """Return `pads` with as much more after each dimension as rounding its output size up needs."""
    extended = []
    for place, (size, window, stride) in enumerate(zip(x.shape[2:], windows, strides, strict=True)):
        before, after = pads[2 * place : 2 * place + 2]
        outputs = -(-(size + before + after - window) // stride) + 1
        if (outputs - 1) * stride >= size + before:
            outputs -= 1
        extended += [before, max((outputs - 1) * stride + window - size - before, after)]
    return extended


@_operator
def _avg_pool(
    x: Tensor,
    kernel_sizes: list[int],
    strides: list[int],
    pad_type: str,
    pad: list[int],
    exclude_padding_from_average: bool,
    ceil_mode: bool,
) -> Tensor:
    if ceil_mode:
        raise EdgekitError(
            FailureKind.unsupported_operator, "parity", "the reference executor does not know avg_pool with ceil_mode"
        )
    pads = _pads(x, kernel_sizes, strides, pad_type, pad)

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(_zero_padded(values, pads), tuple(kernel_sizes), tuple(strides))

    return mean(x) / mean(torch.ones_like(x)) if exclude_padding_from_average else mean(x)


@_operator
def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.linear(x, weight, bias)


@_operator
def _relu(x: Tensor) -> Tensor:
    return functional.relu(x)


@_operator
def _relu6(x: Tensor) -> Tensor:
    return functional.relu6(x)


@_operator
def _clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return x.clamp(alpha, beta)


@_operator
def _sigmoid_hard(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


@_operator
def _sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@_operator
def _silu(x: Tensor) -> Tensor:
    return functional.silu(x)


@_operator
def _softmax(x: Tensor, axis: int) -> Tensor:
    return torch.softmax(x, axis)


@_operator
def _upsample_bilinear(
    x: Tensor, scale_factor_height: float | Tensor, scale_factor_width: float | Tensor, align_corners: bool
) -> Tensor:
    """Resize to floor(size * factor), the factor as a float32 number."""
    factors = (np.float32(scale_factor_height), np.float32(scale_factor_width))
    size = [int(np.float32(side) * factor) for side, factor in zip(x.shape[2:], factors, strict=True)]
    return functional.interpolate(x, size, mode="bilinear", align_corners=align_corners)


@_operator
def _thresholded_relu(x: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(x >= alpha, x, 0.0)


@_operator
def _add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


@_operator
def _sub(x: Tensor, y: Tensor) -> Tensor:
    return x - y


@_operator
def _mul(x: Tensor, y: Tensor) -> Tensor:
    return x * y


@_operator
def _real_div(x: Tensor, y: Tensor) -> Tensor:
    return x / y


@_operator
def _concat(values: list[Tensor], axis: int, interleave: bool) -> Tensor:
    if interleave:  # a channel of each in turn, which is what a channel shuffle of concatenated values becomes
        axis %= values[0].ndim
        return torch.stack(values, axis + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


@_operator
def _reduce_mean(x: Tensor, keep_dims: bool, axes: list[int] | None = None) -> Tensor:
    return x.mean(axes, keepdim=keep_dims)


@_operator
def _reduce_l2_norm(x: Tensor, keep_dims: bool, axes: list[int] | None = None) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=keep_dims)
    return norm


@_operator
def _maximum(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x, y)


@_operator
def _reshape(x: Tensor, shape: list[int]) -> Tensor:
    # A 0 takes the size of the input's dimension, counted from the right, and 1 beyond the input's rank.
    sizes = [1] * len(shape) + list(x.shape)
    return x.reshape([size or sizes[place - len(shape)] for place, size in enumerate(shape)])


@_operator
def _transpose(x: Tensor, perm: list[int]) -> Tensor:
    return x.permute(perm)


@_operator
def _slice_by_index(
    x: Tensor,
    begin: list[int],
    end: list[int],
    stride: list[int] | None = None,
    begin_mask: list[bool] | None = None,
    end_mask: list[bool] | None = None,
    squeeze_mask: list[bool] | None = None,
) -> Tensor:
    no = [False] * x.ndim
    steps, from_start, to_end, single = stride or [1] * x.ndim, begin_mask or no, end_mask or no, squeeze_mask or no
    if any(step < 1 for step in steps):
        raise EdgekitError(
            FailureKind.unsupported_operator,
            "parity",
            "the reference executor does not know slice_by_index with a negative stride",
        )
    return x[
        tuple(
            begin[axis]
            if single[axis]
            else slice(None if from_start[axis] else begin[axis], None if to_end[axis] else end[axis], steps[axis])
            for axis in range(x.ndim)
        )
    ]


@_operator
def _squeeze(x: Tensor, axes: list[int] | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(axes)


@_operator
def _expand_dims(x: Tensor, axes: list[int]) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@_operator
def _cast(x: Tensor, dtype: str) -> Tensor:
    # fp16 becomes float32 here too: the type of the output variable decides the rounding.
    return x.to({"fp16": torch.float32, "fp32": torch.float32, "int32": torch.int32, "bool": torch.bool}[dtype])


@_operator
def _identity(x: Tensor) -> Tensor:
    return x
