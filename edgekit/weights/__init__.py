"""Checkpoints: finding, downloading, recognising, and importing from other frameworks."""
