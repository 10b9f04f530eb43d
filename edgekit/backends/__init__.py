"""Backends: from a model to runtime artifacts, and the proof that they still compute the same."""
