"""How the command line ends: a sentence for a human, an exit code for a script, a traceback only with ``--debug``."""

from __future__ import annotations

import sys
import traceback

import click

from edgekit.errors import EdgekitError, ExitCode, UsageError, missing_converters, refused
from edgekit.redaction import redacted


def guarded(command: click.Command) -> int:
    """Run `command` and return its exit code."""
    try:
        return int(command.main(standalone_mode=False) or ExitCode.done)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.usage
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return ExitCode.interrupted
    except (BrokenPipeError, SystemExit) as error:
        # click and rich make the second of the first; whatever else ends the process ends it.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        sys.stderr.close()  # whoever read has gone; nothing more can be said
        return ExitCode.done
    except Exception as error:  # noqa: BLE001  (the last line of defence: a sentence, not a traceback)
        if "--debug" in sys.argv:
            click.echo(redacted(traceback.format_exc()), err=True)
        message, hint = _sentence(error)
        click.echo(f"error: {message}" + (f"\n       {hint}" if hint else ""), err=True)
        return ExitCode.usage if isinstance(error, UsageError) else ExitCode.failure


def _sentence(error: Exception) -> tuple[str, str]:
    """Return what happened and what to do."""
    if isinstance(error, ImportError):
        error = missing_converters(error)
    if isinstance(error, OSError):
        error = refused(error, "edgekit")
    if isinstance(error, EdgekitError):
        return error.failure.message, error.failure.hint
    message = redacted(f"this is a bug in edgekit: {type(error).__name__}: {error}")
    return message, "Run again with `edgekit --debug ...` and report the traceback."
