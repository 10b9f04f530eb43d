"""The command line: one module per command; it parses, calls and prints.

Modules here import only click and the standard library at their top, so that ``edgekit --help`` is instant.
"""

from __future__ import annotations

import codecs
import io
import logging
import signal
import sys
from importlib import import_module

import click

from edgekit.cli.failing import guarded

COMMANDS = (
    "deploy",
    "profile",
    "compile",
    "export",
    "pack",
    "parity",
    "classify",
    "evaluate",
    "quantize",
    "inspect",
    "operators",
    "recipe",
    "scale",
    "device",
    "runner",
    "weights",
    "cache",
    "ledger",
    "run",
    "report",
    "select",
    "diff",
    "support",
)


ALIASES = {"recipes": ("recipe", "list"), "devices": ("device",), "capsule": ("runner",)}
"""Earlier names of commands, which work for one more release and are not listed."""


class Commands(click.Group):
    """Loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the documentation."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import ``edgekit.cli.NAME`` and return its ``command``."""
        name, *inner = ALIASES.get(cmd_name, (cmd_name,))
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"edgekit.cli.{name}").command
        for name in inner:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgekit")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-v", "--verbose", is_flag=True, help="Show what libraries log: connections, downloads.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress, only the result and errors.")
@click.pass_context
def cli(context: click.Context, debug: bool, verbose: bool, quiet: bool) -> None:
    """Take vision models from PyTorch to devices and measure how fast they are there.

    Example: edgekit deploy recipes/v3_large.yaml --device host
    """
    context.obj = {"debug": debug, "quiet": quiet}
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


def escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write characters outside the output's encoding as JSON escapes: ``\u2013``. So JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end


def main() -> None:
    """Run the command line and exit with its code (edgekit.errors.ExitCode)."""
    codecs.register_error("escape", escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # unwinds like Ctrl-C: no process of edgekit stays
    sys.exit(guarded(cli))
