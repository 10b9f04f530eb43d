"""A network of your own: `edgekit deploy examples/tiny_cnn.py:build --device host`."""

from itertools import pairwise

from torch import Tensor, nn


class TinyCNN(nn.Module):
    """Four convolutions and a classifier, for images of 96 x 96 pixels."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 4 * channels, 8 * channels]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        return self.classifier(self.features(image).mean((2, 3)))


def build(channels: int = 16, classes: int = 10) -> nn.Module:
    """Return the network. What edgekit has to know of it is below; a recipe or the command line may state it instead."""
    return TinyCNN(channels, classes)


build.edgekit = {
    "inputs": "3x96x96",
    "task": "classification",
    "classes": 10,
    "preprocessing": {
        "fit": "crop",
        "crop_fraction": 0.875,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}
