"""Equivalent forms of a model that a converter or a delegate handles better."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional


class DecomposedHardswish(nn.Module):
    """h-swish as relu6(x + 3) * (x * 1/6).

    In this order the TFLite converter does not fuse it back into HARD_SWISH, which XNNPACK lacks in int8.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> same shape."""
        return functional.relu6(input + 3.0) * (input * (1.0 / 6.0))


class DecomposedHardsigmoid(nn.Module):
    """h-sigmoid as relu6(x + 3) * 1/6 with float constants; PyTorch's own decomposition has integer ones, cast at run time."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> same shape."""
        return functional.relu6(input + 3.0) * (1.0 / 6.0)


def decompose(model: nn.Module, *, hard_swish: bool = False, hard_sigmoid: bool = False) -> nn.Module:
    """Return a copy of `model` with h-swish and h-sigmoid modules in their decomposed form."""
    replacements: dict[type[nn.Module], type[nn.Module]] = {}
    if hard_swish:
        replacements[nn.Hardswish] = DecomposedHardswish
    if hard_sigmoid:
        replacements[nn.Hardsigmoid] = DecomposedHardsigmoid
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) in replacements:
                setattr(parent, name, replacements[type(child)]())
    return model.eval()
