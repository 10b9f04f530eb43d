"""Passes that make an int8 artifact accurate, before any converter sees the model.

The passes work on the PyTorch model, so that every runtime gains from them:

- Batch norm is folded.
- Channel ranges are equalised (:mod:`~edgekit.backends.quantization.equalization`).
- Weights are rounded to the int8 grid so that the layers' outputs change least
  (:mod:`~edgekit.backends.quantization.rounding`). Runtimes do not change a weight that is on the grid.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

PIXELS = 32 * 224 * 224
"""The pixels of calibration photos that the passes hold in memory together."""
_KEPT: WeakKeyDictionary[nn.Module, tuple[Inputs, tuple[nn.Module, nn.Module]]] = WeakKeyDictionary()

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.architectures.inputs import Inputs


def optimise_for_int8(model: nn.Module, calibration: Inputs) -> nn.Module:
    """Return a copy of `model` (eval mode) that loses less in int8; `calibration` are examples of its inputs.

    In float it computes the same up to the rounding of its weights to int8. Layers that stay in float are not rounded
    (:mod:`edgekit.backends.quantization.float_layers`).
    """
    return _passed(model, calibration)[1]


def equalise_for_int8(model: nn.Module, calibration: Inputs) -> nn.Module:
    """Return the copy of `model` before its weights are rounded: in float it computes the same."""
    return _passed(model, calibration)[0]


def _passed(model: nn.Module, calibration: Inputs) -> tuple[nn.Module, nn.Module]:
    """Return both. They are kept as long as the model: a compilation and the comparison of its layers ask for the same."""
    import torch

    from edgekit.backends.quantization.equalization import equalise
    from edgekit.backends.quantization.graph import fold_batch_norm
    from edgekit.backends.quantization.rounding import round_weights

    if model in _KEPT and _KEPT[model][0] is calibration:
        return _KEPT[model][1]
    inputs = _some(calibration)
    with torch.no_grad():
        folded = fold_batch_norm(model, inputs)
        equalise(folded, inputs)
        rounded = copy.deepcopy(folded.model)
        round_weights(rounded, inputs)
    _KEPT[model] = (calibration, (folded.model, rounded))
    return folded.model, rounded


def _some(calibration: Inputs) -> tuple[Tensor, ...]:
    """Return as many examples as the passes hold in memory."""
    pixels = max(1, calibration.values_each // 3)
    return calibration[: max(2, PIXELS // pixels)].tensors()
