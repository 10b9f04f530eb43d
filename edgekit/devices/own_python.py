"""The Python environment that `edgekit device setup` makes on a board or a Mac."""

from __future__ import annotations

from edgekit.devices.shell import Shell
from edgekit.errors import EdgekitError, FailureKind


class OwnPython:
    """The virtual environment in edgekit's folder on one device."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.python = f"{shell.root}/venv/bin/python"
        # This file exists once pip is done. Without it the environment is incomplete.
        self._installed = f"{shell.root}/venv/edgekit-installed"

    def interpreter(self) -> str:
        """Return the path of the interpreter; EdgekitError (``missing_extra``) if there is no environment yet."""
        if self.shell.attempt(f"test -x {self.python} && test -f {self._installed}").exit_status:
            message = f"{self.shell.name} has no Python environment of its own."
            hint = f"Run: edgekit device setup {self.shell.name}"
            raise EdgekitError(FailureKind.missing_extra, "push", message, hint, retriable=True)
        return self.python

    def install(self, requirement: str, shown: str) -> str:
        """Make the environment with a shell-quoted requirement; return the packages that match the expression `shown`."""
        make = f"mkdir -p {self.shell.root} && rm -f {self._installed} && python3 -m venv {self.shell.root}/venv"
        self.shell.check(make, 120)
        install = f"{self.python} -m pip install --quiet --disable-pip-version-check {requirement}"
        try:
            self.shell.check(f"{install} && touch {self._installed}", 900)
        except EdgekitError as error:
            failure = error.failure
            if failure.kind is not FailureKind.crashed:
                raise
            hint = (
                f"pip needs internet on {self.shell.name}, or an index that it reaches (`index-url` in "
                "~/.config/pip/pip.conf there). With `runner: native` in its profile a board needs no pip."
            )
            raise EdgekitError(failure.kind, "setup", failure.message, hint, failure.retriable) from error
        return self.shell.check(f"{self.python} -m pip list 2> /dev/null | grep -iE '{shown}'")
