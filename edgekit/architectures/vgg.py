"""VGG-16. Simonyan and Zisserman 2015, arXiv:1409.1556, Table 1, configuration D. State dict keys are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn

from edgekit.architectures.blocks import Convention, Padding, conv2d, initialise_without_norm, max_pool

TABLE_1_D = (
    # output channels of the 3x3 convolutions    input
    (64, 64),  # 224x224x3
    (128, 128),  # 112x112x64
    (256, 256, 256),  # 56x56x128
    (512, 512, 512),  # 28x28x256
    (512, 512, 512),  # 14x14x512
)
"""After each row a max pooling halves the map."""


class VGG(nn.Module):
    """`features`, average pooling to 7x7, and three fully connected layers, `classifier`."""

    def __init__(self, features: nn.Sequential, classes: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(7)  # 224 pixels give 7x7 as it is; other sizes are torchvision's extension
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, classes),
        )
        initialise_without_norm(self)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) preprocessed images -> (N, classes) logits."""
        features = self.features(images)
        pooled = features if features.shape[2:] == (7, 7) else self.avgpool(features)
        logits: Tensor = self.classifier(pooled.flatten(1))
        return logits


def vgg16(classes: int = 1000, padding: Padding = "torch", batch_norm_epsilon: float = 1e-5) -> VGG:
    """Build VGG-16 for (N, 3, H, W) images, H and W at least 32.

    It has no batch normalisation: `batch_norm_epsilon` changes nothing. At 32 * n pixels both paddings are the same.
    """
    convention = Convention(padding, batch_norm_epsilon)
    rounding_down = Convention("valid") if padding == "torch" else convention
    features: list[nn.Module] = []
    channels = 3
    for row in TABLE_1_D:
        for outputs in row:
            features += [conv2d(channels, outputs, 3, 1, 1, padding, bias=True), nn.ReLU()]
            channels = outputs
        features.append(max_pool(2, 2, rounding_down))
    return VGG(nn.Sequential(*features), classes)
