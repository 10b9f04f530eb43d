"""edgekit: vision models from PyTorch to phones and boards, and how fast they really are there."""

__version__ = "0.1.0"
