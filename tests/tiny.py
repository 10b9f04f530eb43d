"""The network of tests that ask nothing of it: a dozen convolutions, compiled once per target for all of them."""

from edgekit.pipeline.device_check import TINY

RECIPE, SETTINGS = TINY
VARIANT = "0.25/64/depth=0.1"
OPTIONS = (RECIPE, *(part for setting in SETTINGS for part in ("--set", setting)))
"""The same on the command line."""
