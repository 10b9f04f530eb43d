"""Import of weights: TensorFlow graphs and float TFLite files become .safetensors with edgekit's names.

A key map (``keymaps/NAME.csv``) is data: a row for each of our tensors, with the rule that makes it and the source's
name. Only ``edgekit weights convert`` imports this package. A TensorFlow graph needs the extra ``import``,
a TFLite file ``convert``.

In TFLite files batch norm is folded into the convolutions. The convolution then takes the weights, and the batch norm
adds the folded bias: mean 0, variance 1, scale sqrt(1 + epsilon). The model stays the same except for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.key_maps import read_key_map
from edgekit.errors import EdgekitError, FailureKind, UsageError

Array = NDArray[np.float32]

SCALE_OF_FOLDED = np.float32(
    np.sqrt(1 + 1e-3)
)  # undoes the division by sqrt(variance + epsilon) of TensorFlow's batch norm

RULES: dict[str, Callable[[Array], Array]] = {
    "same": lambda values: values,
    "tf_conv": lambda values: values.transpose(3, 2, 0, 1),  # H W I O
    "tf_depthwise": lambda values: values.transpose(2, 3, 0, 1),  # H W I 1
    "tf_linear": lambda values: values[0, 0].T,  # 1 1 I O
    "tflite_conv": lambda values: values.transpose(0, 3, 1, 2),  # O H W I
    "tflite_depthwise": lambda values: values.transpose(3, 0, 1, 2),  # 1 H W O
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "folded_scale": lambda values: np.full_like(values, SCALE_OF_FOLDED),
}
"""Rule of a key map -> its change of the source's tensor; the last three use only its size."""


def convert(source: Path, key_map: str, output: Path) -> None:
    """Write the tensors that `key_map` makes of `source` (.pb or .tflite) to `output`, a .safetensors file.

    The same source gives the same bytes. UsageError for an unknown key map or kind of file.
    EdgekitError (``recipe``) if the source lacks a tensor.
    """
    from safetensors.numpy import save_file

    readers = {".pb": read_graph_def, ".tflite": read_tflite}
    if source.suffix not in readers:
        raise UsageError(f"{source.name} is neither a TensorFlow graph (.pb) nor a .tflite file.")
    rows = read_key_map("edgekit.weights.importers", key_map)
    if not source.is_file():
        raise UsageError(f"There is no file at {source}.")
    if output.suffix != ".safetensors" or not output.parent.is_dir():
        raise UsageError(f"{output} is to be a .safetensors file in a folder that exists.")
    found = readers[source.suffix](source)
    missing = sorted({row["source"] for row in rows} - found.keys())
    if missing:
        message = f"{source.name} does not fit the key map {key_map}: it has no {', '.join(missing[:5])}"
        raise EdgekitError(FailureKind.recipe, "weights", f"{message} ({len(missing)} tensors are missing).")
    made = {row["edgekit"]: np.ascontiguousarray(RULES[row["rule"]](found[row["source"]])) for row in rows}
    counters = [key.replace("running_mean", "num_batches_tracked") for key in made if key.endswith("running_mean")]
    unfinished = output.with_suffix(".part")
    save_file({**made, **{key: np.zeros((), np.int64) for key in counters}}, unfinished)
    unfinished.replace(output)


def read_graph_def(path: Path) -> dict[str, Array]:
    """Return name -> float32 constant of a frozen TensorFlow graph; EdgekitError (``missing_extra``) without tensorboard."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.types_pb2 import DT_FLOAT
    except ImportError as error:
        message = "Reading a TensorFlow graph needs the package tensorboard, which is not installed."
        raise EdgekitError(FailureKind.missing_extra, "weights", message, "pip install 'edgekit[import]'") from error
    graph = GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise _damaged(path, error) from error
    constants = {}
    for node in graph.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and tensor.dtype == DT_FLOAT:
            shape = tuple(side.size for side in tensor.tensor_shape.dim)
            packed = np.frombuffer(tensor.tensor_content, "<f4") if tensor.tensor_content else tensor.float_val
            values = np.array(packed, np.float32)
            # A tensor of equal values is stored as one.
            constants[node.name] = values.reshape(shape) if values.size != 1 else np.full(shape, values[0])
    return constants


def _damaged(path: Path, error: Exception) -> EdgekitError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return EdgekitError(FailureKind.recipe, "weights", f"{path} is damaged or no {path.suffix} file: {first}.")


def read_tflite(path: Path) -> dict[str, Array]:
    """Return name -> float32 constant of a TFLite file; EdgekitError (``missing_extra``) without LiteRT."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        message = "Reading a TFLite file needs the package ai-edge-litert, which is not installed."
        raise EdgekitError(FailureKind.missing_extra, "weights", message, "pip install 'edgekit[convert]'") from error
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    except ValueError as error:
        raise _damaged(path, error) from error
    constants = {}
    for detail in interpreter.get_tensor_details():
        try:
            values = interpreter.get_tensor(detail["index"])
        except ValueError:
            continue  # not a constant: it has no values before the graph runs
        if values.dtype == np.float32:
            constants[detail["name"]] = values
    return constants
