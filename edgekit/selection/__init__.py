"""Which model to ship on a device, and how sure that is: :func:`edgekit.selection.choosing.choose`."""
