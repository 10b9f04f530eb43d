"""Building and running models for their shapes only: nothing is computed and no weights are allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def shapes_only() -> Iterator[None]:
    """Make tensors on the meta device; operators return tensors of the right shape without values.

    PyTorch's own meta kernels do the same in Python and import half of its compiler first: seconds for
    one network. The frequent operators are answered here; those kernels answer the others.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # skipping would import the compiler, to leave us out of it

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            keywords = kwargs or {}
            first = args[0][0] if function is torch.ops.aten.cat.default else args[0] if args else None
            name = function.name().partition(".")[0]
            if name in MADE and keywords.get("device") == torch.device("meta"):
                return torch.empty(args[0], device="meta", dtype=keywords.get("dtype"))
            if not isinstance(first, torch.Tensor) or not first.is_meta or first.dtype != torch.float32:
                return function(*args, **keywords)
            if name.endswith("_") and torch.Tag.inplace_view not in function.tags:
                return first
            if name in BATCH_NORMS:
                return first.new_empty(first.shape), first.new_empty(0), first.new_empty(0)
            if torch.Tag.pointwise in function.tags or name == "aten::hardswish":
                shape: list[int] | None = _broadcast(value for value in args if isinstance(value, torch.Tensor))
            else:
                shape = SHAPES[name](*args) if name in SHAPES and not keywords else None
            return function(*args, **keywords) if shape is None else first.new_empty(shape)

    with torch.device("meta"), ShapesOnly():  # type: ignore[no-untyped-call]
        yield


def _broadcast(tensors: Iterable[Tensor]) -> list[int]:
    sides = zip_longest(*(reversed(tensor.shape) for tensor in tensors), fillvalue=1)
    return [next((side for side in lined_up if side != 1), 1) for lined_up in sides][::-1]


def _convolved(
    image: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    *_: object,
) -> list[int] | None:
    sides = zip(image.shape[2:], kernel.shape[2:], stride, padding, dilation, strict=True)
    convolved = [(side + 2 * pad - gap * (taps - 1) - 1) // step + 1 for side, taps, step, pad, gap in sides]
    return None if transposed else [image.shape[0], kernel.shape[0], *convolved]


def _reduced(tensor: Tensor, dimensions: list[int] | None = None, keep: bool = False) -> list[int] | None:
    if dimensions is None:
        return None
    gone = {dimension % tensor.dim() for dimension in dimensions}
    return [1 if index in gone else side for index, side in enumerate(tensor.shape) if keep or index not in gone]


def _joined(tensors: list[Tensor], dimension: int = 0) -> list[int]:
    shape = list(tensors[0].shape)
    shape[dimension] = sum(tensor.shape[dimension] for tensor in tensors)
    return shape


def _multiplied(bias: Tensor, left: Tensor, right: Tensor) -> list[int]:
    return [left.shape[0], right.shape[1]]


def _resized(image: Tensor, size: list[int] | None, *_: object) -> list[int] | None:
    return None if size is None else [*image.shape[:2], *size]


MADE = {"aten::zeros", "aten::ones", "aten::full"}
"""Operators that make a tensor of a size, which is their first argument."""
BATCH_NORMS = {"aten::native_batch_norm", "aten::_native_batch_norm_legit_no_training"}
SHAPES: dict[str, Callable[..., list[int] | None]] = {
    "aten::addmm": _multiplied,
    "aten::cat": _joined,
    "aten::convolution": _convolved,
    "aten::mean": _reduced,
    "aten::upsample_bilinear2d": _resized,
}
"""Operator -> the shape of its result from its arguments; None leaves the answer to PyTorch."""
