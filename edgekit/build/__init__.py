"""From a recipe to artifacts: weights, photos, conversion in separate processes, comparison with PyTorch."""
