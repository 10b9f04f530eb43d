"""Equivalent forms are equivalent."""

import pytest
import torch
from torch import nn

from edgekit.architectures.blocks import AveragePool, Convention, MaxPool2dSame, StandaloneReLU
from edgekit.architectures.ssd_vgg import L2Norm
from edgekit.backends.rewrite import BorderedMaxPool2d, decompose

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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [7, 8])
def test_average_pooling_as_a_depthwise_convolution_is_the_same(stride, size):
    pool, image = AveragePool(4, 3, stride, Convention("torch")), torch.randn(2, 4, size, size)
    expected = torch.nn.functional.avg_pool2d(image, 3, stride, 1)
    torch.testing.assert_close(pool(image), expected)
    torch.testing.assert_close(decompose(nn.Sequential(pool), average_pool=True)(image), expected)


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (7, 2), (8, 2)])
def test_average_pooling_with_same_padding_leaves_padding_out_of_the_mean(size, stride):
    pool = AveragePool(2, 3, stride, Convention("same"))
    pooled = pool(torch.ones(1, 2, size, size))
    assert pooled.shape[-1] == -(-size // stride)
    torch.testing.assert_close(pooled, torch.ones_like(pooled))
    assert type(decompose(nn.Sequential(pool), average_pool=True)[0]) is AveragePool


def test_a_relu_as_a_depthwise_convolution_is_the_same():
    image = torch.randn(2, 4, 5, 5)
    rewritten = decompose(nn.Sequential(StandaloneReLU(4)), standalone_relu=True)
    torch.testing.assert_close(rewritten(image), image.relu())
    assert type(rewritten[0]) is not StandaloneReLU


def test_an_l2_norm_with_a_convolution_for_its_sum_is_the_same():
    image = torch.randn(2, 4, 5, 5)
    image[0, :, 2, 2] = 0  # no length to divide by
    rewritten = decompose(nn.Sequential(L2Norm(4)), l2_norm=True)
    torch.testing.assert_close(rewritten(image), L2Norm(4)(image))
    assert type(rewritten[0]) is not L2Norm


def test_only_what_is_asked_for_is_replaced_and_the_original_stays():
    model = nn.Sequential(nn.Hardswish(), nn.Hardsigmoid(), nn.MaxPool2d(3, 2, 1), nn.ReLU())
    decomposed = decompose(model, hard_swish=True, max_pool=True)
    kept = [type(one) is type(other) for one, other in zip(model, decomposed, strict=True)]
    assert kept == [False, True, False, True]
    image = torch.randn(1, 2, 9, 9)
    torch.testing.assert_close(decomposed(image), model(image))
