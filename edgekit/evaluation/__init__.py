"""Accuracy of artifacts on labelled photos."""
