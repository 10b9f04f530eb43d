"""Locks on machines: compilations may overlap, but a timed session needs the machine alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from filelock import ReadWriteLock, Timeout

from edgekit.cache.store import usable
from edgekit.config.paths import runtime_folder
from edgekit.devices.base import Device
from edgekit.pipeline.plan import Progress

THIS_MACHINE = "this-machine"


@contextmanager
def compiling(progress: Progress) -> Iterator[None]:
    """Wait until no edgekit is timing on this machine. Compilations may overlap."""
    lock = _lock(THIS_MACHINE)
    with _taken(lock.read_lock, "this machine", progress):
        yield


@contextmanager
def timing(device: Device, progress: Progress) -> Iterator[None]:
    """Wait until the device is free. On this machine, wait for compilations too."""
    lock = _lock(THIS_MACHINE if device.profile.kind == "host" else device.identify().hash)
    with _taken(lock.write_lock, device.profile.name, progress):
        yield


def _lock(name: str) -> ReadWriteLock:
    folder = runtime_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with usable(folder):
        return ReadWriteLock(folder / f"{name}.db", is_singleton=False)


@contextmanager
def _taken(take: Callable[[float], AbstractContextManager[None]], where: str, progress: Progress) -> Iterator[None]:
    """Take a lock. If another process holds it, report the wait."""
    with ExitStack() as held:
        try:
            with usable(runtime_folder()):
                held.enter_context(take(0))
        except Timeout:
            progress(f"Waiting for another edgekit that uses {where}.")
            held.enter_context(take(-1))
        yield
