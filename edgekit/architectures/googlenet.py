"""GoogLeNet (Inception V1). Szegedy et al. 2015, arXiv:1409.4842, Table 1, with batch normalisation and no auxiliary heads.

The branch that the table calls 5x5 has a 3x3 kernel here, as in torchvision and the TensorFlow checkpoint (Slim's
``inception_v1``) that torchvision's weights are: the counts are those of that network.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from torch import nn

from edgekit.architectures.blocks import Branches, Classifier, Convention, ConvNormActivation, MaxPool2dSame, Padding


class Row(NamedTuple):
    """One inception module: its name and the columns of the table, in output channels."""

    name: str
    n1x1: int
    n3x3_reduce: int
    n3x3: int
    n5x5_reduce: int
    n5x5: int
    pool_proj: int


class Pool(NamedTuple):
    """A max pooling with stride 2. The table prints 3x3 for both, the published network has 2x2 before 5a."""

    name: str
    kernel: int


TABLE_1 = (
    # name, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj    input
    Row("inception3a", 64, 96, 128, 16, 32, 32),  # 28x28x192
    Row("inception3b", 128, 128, 192, 32, 96, 64),  # 28x28x256
    Pool("maxpool3", 3),  # 28x28x480
    Row("inception4a", 192, 96, 208, 16, 48, 64),  # 14x14x480
    Row("inception4b", 160, 112, 224, 24, 64, 64),  # 14x14x512
    Row("inception4c", 128, 128, 256, 24, 64, 64),  # 14x14x512
    Row("inception4d", 112, 144, 288, 32, 64, 64),  # 14x14x512
    Row("inception4e", 256, 160, 320, 32, 128, 128),  # 14x14x528
    Pool("maxpool4", 2),  # 14x14x832
    Row("inception5a", 256, 160, 320, 32, 128, 128),  # 7x7x832
    Row("inception5b", 384, 192, 384, 48, 128, 128),  # 7x7x832
)


def _inception(inputs: int, row: Row, convention: Convention) -> Branches:
    def conv(inputs: int, outputs: int, kernel: int) -> ConvNormActivation:
        return ConvNormActivation(inputs, outputs, kernel, convention, nn.ReLU)

    return Branches(
        [
            conv(inputs, row.n1x1, 1),
            nn.Sequential(conv(inputs, row.n3x3_reduce, 1), conv(row.n3x3_reduce, row.n3x3, 3)),
            nn.Sequential(conv(inputs, row.n5x5_reduce, 1), conv(row.n5x5_reduce, row.n5x5, 3)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, row.pool_proj, 1)),
        ]
    )


def googlenet(classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-3) -> Classifier:
    """Build GoogLeNet for (N, 3, H, W) images, H and W at least 32.

    Max poolings round up, as in Caffe; with ``same`` padding, which differs from that on odd sizes only, they are TensorFlow's.
    """
    convention = Convention(padding, batch_norm_epsilon)

    def pool(kernel: int) -> nn.MaxPool2d:
        return MaxPool2dSame(kernel, 2) if padding == "same" else nn.MaxPool2d(kernel, 2, ceil_mode=True)

    features: dict[str, nn.Module] = {
        "conv1": ConvNormActivation(3, 64, 7, convention, nn.ReLU, stride=2),
        "maxpool1": pool(3),
        "conv2": ConvNormActivation(64, 64, 1, convention, nn.ReLU),
        "conv3": ConvNormActivation(64, 192, 3, convention, nn.ReLU),
        "maxpool2": pool(3),
    }
    channels = 192
    for row in TABLE_1:
        if isinstance(row, Row):
            features[row.name] = _inception(channels, row, convention)
            channels = row.n1x1 + row.n3x3 + row.n5x5 + row.pool_proj
        else:
            features[row.name] = pool(row.kernel)
    classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, classes))
    return Classifier(nn.Sequential(OrderedDict(features)), classifier)
