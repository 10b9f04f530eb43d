"""How the command line ends: a sentence for a human, an exit code for a script, a traceback only with ``--debug``."""

from __future__ import annotations

import sys
import traceback

import click

from edgekit.errors import EdgekitError, ExitCode, UsageError


def guarded(command: click.Command) -> int:
    """Run `command` and return its exit code."""
    debug = "--debug" in sys.argv
    try:
        result = command.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.usage
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. What was measured is in the ledger.", err=True)
        return ExitCode.interrupted
    except EdgekitError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error.failure.message}", err=True)
        if error.failure.hint:
            click.echo(f"       {error.failure.hint}", err=True)
        return ExitCode.usage if isinstance(error, UsageError) else ExitCode.failure
    except Exception as error:  # noqa: BLE001  (the last line of defence: a sentence, not a traceback)
        if debug:
            traceback.print_exc()
        click.echo(f"error: this is a bug in edgekit: {type(error).__name__}: {error}", err=True)
        click.echo("       Run again with `edgekit --debug ...` and report the traceback.", err=True)
        return ExitCode.failure
    return int(result or ExitCode.done)
