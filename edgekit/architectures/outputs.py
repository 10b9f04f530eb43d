"""What a model returns, by name: tasks have one output or several (:data:`edgekit.architectures.registry.OUTPUTS`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def named_outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Run a batch through the model without gradients; returns output name -> tensor in the model's order.

    The names are the model's attribute `output_names`; a model without it has one output, ``logits``.
    """
    import torch

    with torch.no_grad():
        outputs = model(*inputs)
    names = getattr(model, "output_names", ("logits",))
    return dict(zip(names, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))
