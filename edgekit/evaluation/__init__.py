"""Accuracy: what artifacts say of photos."""
