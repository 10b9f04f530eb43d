"""What makes an int8 artifact accurate, before any converter sees the model.

The passes work on the PyTorch model, so that every runtime gains from them: batch norm is folded, channel ranges are
equalised (:mod:`~edgekit.backends.quantization.equalization`), and weights are rounded to the int8 grid so that the layers'
outputs change least (:mod:`~edgekit.backends.quantization.rounding`). Runtimes round a weight that is on the grid to itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

PIXELS = 32 * 224 * 224
"""So many pixels of the calibration photos, all at once in memory, are enough for the passes."""

if TYPE_CHECKING:
    from torch import nn

    from edgekit.backends.base import Images


def optimise_for_int8(model: nn.Module, calibration: Images) -> nn.Module:
    """Return a copy of `model` (eval mode) that loses less in int8; `calibration` is (N, 3, H, W) preprocessed.

    In float it computes the same up to the rounding of its weights to int8. Layers that stay in float are not rounded
    (:mod:`edgekit.models.float_layers`).
    """
    import torch

    from edgekit.backends.quantization.equalization import equalise
    from edgekit.backends.quantization.graph import fold_batch_norm
    from edgekit.backends.quantization.rounding import round_weights

    pixels = calibration.shape[2] * calibration.shape[3]
    count = min(len(calibration), max(2, PIXELS // pixels))
    images = torch.from_numpy(calibration[:count])
    with torch.no_grad():
        folded = fold_batch_norm(model, images)
        equalise(folded, images)
        round_weights(folded.model, images)
    return folded.model
