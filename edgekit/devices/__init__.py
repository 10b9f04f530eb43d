"""Devices: reach them, run programs on them, move files."""
