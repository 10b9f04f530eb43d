"""adb: the link to Android devices, through a running adb server or directly over USB or TCP.

- ``profile``: the keys of a profile that say how to reach the device;
- ``server``: through an adb server, with the library adbutils;
- ``direct``: without a server, with the library adb-shell, and ``keys`` for it;
- ``link``: the :class:`~edgekit.devices.link.Link` that chooses one of the two each time it connects.
"""
