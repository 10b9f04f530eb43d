"""Devices that this computer cannot reach: a pack that runs there by itself, and the import of its results."""
