"""Examples of a model's inputs: one array per input, several examples in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float32]

IMAGE = "image"
"""The name of the input of a network for photos."""


@dataclass(frozen=True)
class Inputs:
    """Name -> float32 array (N, ...), in the order of the model's arguments. Photos are (N, 3, H, W), preprocessed."""

    arrays: Mapping[str, Array]

    @staticmethod
    def of_images(images: Array) -> Inputs:
        """Return the input of a network for photos; `images` are (N, 3, H, W)."""
        return Inputs({IMAGE: images})

    @staticmethod
    def load(file: Path) -> Inputs:
        """Return what :meth:`save` wrote."""
        with np.load(file) as saved:
            return Inputs(dict(saved))

    def save(self, file: Path) -> None:
        """Write an ``.npz`` file with an array for each input."""
        np.savez(file, **self.arrays)  # type: ignore[arg-type]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return tuple(self.arrays)

    @property
    def values_each(self) -> int:
        """How many numbers one example has, all inputs together."""
        return sum(array[0].size for array in self.arrays.values())

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, part: slice) -> Inputs:
        return Inputs({name: array[part] for name, array in self.arrays.items()})

    def __iter__(self) -> Iterator[Inputs]:
        """Yield each example by itself, with N = 1."""
        return (self[index : index + 1] for index in range(len(self)))

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the arrays as PyTorch tensors, which share their memory."""
        import torch

        return tuple(torch.from_numpy(array) for array in self.arrays.values())

    def channels_last(self) -> Inputs:
        """Return the same with images (N, C, H, W) as (N, H, W, C), contiguous; other arrays stay as they are."""
        return Inputs({name: nhwc(array) for name, array in self.arrays.items()})


def nhwc(array: Array) -> Array:
    """Return an array (N, C, H, W) as (N, H, W, C); one of another rank as it is."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array
