"""What carries SSH to the first host on the way: TCP, or the program of a ``ProxyCommand``."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from edgekit.devices.ssh_config import Hop


@contextmanager
def tcp(hop: Hop) -> Iterator[socket.socket]:
    """Connect to a host by TCP. OSError of the last of its addresses if none answers."""
    source = (hop.bind_address, 0) if hop.bind_address else None
    failure: OSError | None = None
    for family, *_, address in socket.getaddrinfo(hop.host, hop.port, hop.family, socket.SOCK_STREAM):
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            connected.settimeout(hop.connect_seconds)
            if source:
                connected.bind(source)
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            with connected:
                yield connected
            return
    raise failure or OSError("it has no address")


class ProxySocket(socket.socket):
    """The end of a proxy's program that carries SSH, and what the program printed as errors."""

    errors: IO[bytes]

    def said(self) -> str:
        """Return the end of what the program printed on standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()[-300:]


@contextmanager
def proxy(command: str) -> Iterator[ProxySocket]:
    """Run a ``ProxyCommand`` in a shell, as ``ssh`` does, and yield what leads to it.

    paramiko's own ProxyCommand runs it without a shell, and does not notice that it ended.
    """
    near, far = socket.socketpair()
    with tempfile.TemporaryFile() as errors, ProxySocket(fileno=near.detach()) as carrier:
        with far:
            process = subprocess.Popen(
                ("/bin/sh", "-c", f"exec {command}"),
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        carrier.errors = errors
        try:
            yield carrier
        finally:
            process.kill()
            process.wait()
