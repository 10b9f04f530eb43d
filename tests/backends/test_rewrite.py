"""Equivalent forms are equivalent."""

import pytest
import torch
from torch import nn

from edgekit.backends.rewrite import BorderedMaxPool2d, decompose
from edgekit.models.blocks import MaxPool2dSame

POOLS = [
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d(3, 1, 1),
    nn.MaxPool2d(3, 2, ceil_mode=True),
    nn.MaxPool2d(2, 2, ceil_mode=True),
    nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    nn.MaxPool2d(2, 2),
    nn.MaxPool2d((3, 2), (2, 1), (1, 0)),
    MaxPool2dSame(3, 2),
    MaxPool2dSame(2, 2),
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize(("height", "width"), [(7, 8), (8, 7), (5, 5), (112, 3)])
def test_max_pooling_with_copied_borders_is_the_same(pool, height, width):
    image = -torch.rand(2, 3, height, width) - 1  # negative, so that a zero in the padding would win
    torch.testing.assert_close(BorderedMaxPool2d(pool)(image), pool(image))


def test_only_what_is_asked_for_is_replaced_and_the_original_stays():
    model = nn.Sequential(nn.Hardswish(), nn.Hardsigmoid(), nn.MaxPool2d(3, 2, 1), nn.ReLU())
    decomposed = decompose(model, hard_swish=True, max_pool=True)
    kept = [type(one) is type(other) for one, other in zip(model, decomposed, strict=True)]
    assert kept == [False, True, False, True]
    image = torch.randn(1, 2, 9, 9)
    torch.testing.assert_close(decomposed(image), model(image))
