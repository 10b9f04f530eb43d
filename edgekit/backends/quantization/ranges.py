"""Ranges of activations: the interval that the 256 steps of a tensor cover.

The smallest and the largest value of a few photos are not a good range: one outlier makes all steps coarse.
The chosen range changes the calibration values least (mean square error). ExecuTorch's quantizer has the same rule.
A network's outputs get a margin. A few photos do not show how confident it can be, and clipping makes classes equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchao.quantization.pt2e.observer import HistogramObserver, MinMaxObserver

OUTPUT_MARGIN = 2.0
"""An output's range reaches so many times as far from zero as calibration saw."""
STEPS = 255


class Range:
    """Collects the values of one tensor, image after image."""

    def __init__(self) -> None:
        self._observer = HistogramObserver(quant_min=0, quant_max=STEPS)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take note of the values of one image."""
        self._observer(torch.from_numpy(values))

    @property
    def best(self) -> tuple[float, float]:
        """The range, with zero in it, that changes the values least."""
        scale, zero_point = (float(value) for value in self._observer.calculate_qparams())
        return -zero_point * scale, (STEPS - zero_point) * scale

    @property
    def with_margin(self) -> tuple[float, float]:
        """The range of an output: OUTPUT_MARGIN times the smallest and the largest value, with zero in it."""
        low, high = float(self._observer.min_val), float(self._observer.max_val)
        return min(low, 0.0) * OUTPUT_MARGIN, max(high, 0.0) * OUTPUT_MARGIN


class OutputObserver(MinMaxObserver):  # type: ignore[misc]
    """Observes an output in place of another observer, and makes its range OUTPUT_MARGIN times as wide."""

    def __init__(self, replaced: Any) -> None:
        super().__init__(
            dtype=replaced.dtype,
            qscheme=replaced.qscheme,
            quant_min=replaced.quant_min,
            quant_max=replaced.quant_max,
            eps=replaced.eps,
        )

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and zero point of the wider range."""
        found: tuple[torch.Tensor, torch.Tensor] = self._calculate_qparams(
            self.min_val * OUTPUT_MARGIN, self.max_val * OUTPUT_MARGIN
        )
        return found
