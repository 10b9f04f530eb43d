"""edgekit's native runners for phones and boards. edgekit finds them here; there is nothing to call."""

__version__ = "0"
