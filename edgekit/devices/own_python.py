"""Devices that `edgekit device setup` gives a Python environment of their own: boards and Macs."""

from __future__ import annotations

from abc import abstractmethod

from edgekit.devices.remote import COMMAND_SECONDS, RemoteDevice
from edgekit.errors import EdgekitError, FailureKind


class DeviceWithPython(RemoteDevice):
    """A remote device that `edgekit device setup` can give a Python environment of its own."""

    @abstractmethod
    def setup(self) -> str:
        """Make the environment with what this device's runner needs; return what is in it."""

    @property
    def python(self) -> str:
        """The interpreter of the device's own virtual environment, where :meth:`make_environment` has made one."""
        return f"{self.root}/venv/bin/python"

    @property
    def _installed(self) -> str:
        """A file that is in the environment once pip has done its work: before, it is none to use."""
        return f"{self.root}/venv/edgekit-installed"

    def own_python(self) -> str:
        """Return :attr:`python`; EdgekitError (``missing_extra``) where the device has no such environment yet."""
        if self.link.shell(f"test -x {self.python} && test -f {self._installed}", COMMAND_SECONDS).exit_status:
            message = f"{self.profile.name} has no Python environment of its own."
            hint = f"Run: edgekit device setup {self.profile.name}"
            raise EdgekitError(FailureKind.missing_extra, "push", message, hint, retriable=True)
        return self.python

    def make_environment(self, requirement: str, shown: str) -> str:
        """Make the device's own virtual environment with a shell-quoted requirement; return packages that match `shown`."""
        self.check(f"mkdir -p {self.root} && rm -f {self._installed} && python3 -m venv {self.root}/venv", 120)
        install = f"{self.python} -m pip install --quiet --disable-pip-version-check {requirement}"
        try:
            self.check(f"{install} && touch {self._installed}", 900)
        except EdgekitError as error:
            said = error.failure
            if said.kind is not FailureKind.crashed:
                raise
            hint = (
                f"pip needs internet on {self.profile.name}, or an index that it reaches (`index-url` in ~/.config/pip/pip.conf "
                "there). A board does without all this where its profile says `runner: capsule`."
            )
            raise EdgekitError(said.kind, "setup", said.message, hint, said.retriable) from error
        return self.check(f"{self.python} -m pip list 2> /dev/null | grep -iE '{shown}'")
