"""From a recipe to artifacts: weights, photos, conversion in processes of its own, and the comparison with PyTorch."""
