"""The end of the command line: a message for people, an exit code for scripts, a traceback with ``--debug``."""

from __future__ import annotations

import sys
import traceback

import click

from edgekit.errors import EdgekitError, ExitCode, FailureKind, failure_of
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
        # click and rich turn the first into the second. Any other SystemExit ends the process.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        sys.stderr.close()  # the reader of the pipe has closed it
        return ExitCode.done
    except Exception as error:  # noqa: BLE001  (the last line of defence: a sentence, not a traceback)
        if "--debug" in sys.argv:
            click.echo(redacted(traceback.format_exc()), err=True)
        failure = failure_of(error, "edgekit")
        bug = "this is a bug in edgekit: " if failure.kind is FailureKind.internal and _is_a_bug(error) else ""
        click.echo(f"error: {bug}{failure.message}" + (f"\n       {failure.hint}" if failure.hint else ""), err=True)
        return ExitCode.of(failure)


def _is_a_bug(error: Exception) -> bool:
    return not isinstance(error, EdgekitError | OSError | ImportError)
