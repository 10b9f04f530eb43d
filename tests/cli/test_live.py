"""Progress in a terminal and in a pipe."""

from io import StringIO

import click
from rich.console import Console

from edgekit.cli.live import STATE, live_progress
from edgekit.pipeline.remaining import Remaining

LINES = (
    "v2: 3 parameters",
    "v2 tflite: compiled in 10 s [1/3, 2 min left]",
    "v2 executorch: compiled [bold] in 1 s [2/3]",
)


def test_a_terminal_shows_every_line_and_how_far_the_run_is():
    output = StringIO()
    with live_progress(Console(file=output, force_terminal=True, width=80)) as progress:
        for line in LINES:
            progress(line)
    text = output.getvalue()
    assert all(line in text for line in LINES)  # also what looks like markup
    assert "1 of 3 done, 2 min left" in text
    assert "2 of 3 done" in text


def test_a_pipe_gets_plain_lines(capsys):
    with live_progress() as progress:
        for line in LINES:
            progress(line)
    assert capsys.readouterr().err.splitlines() == list(LINES)


def test_quiet_shows_no_progress(capsys):
    @click.command()
    @click.pass_context
    def command(context):
        context.obj = {"quiet": True}
        with live_progress() as progress:
            progress("line")

    command.main([], standalone_mode=False)
    assert capsys.readouterr().err == ""


def test_lines_end_with_what_the_bar_reads():
    remaining = Remaining(3)
    assert STATE.search(f"done {remaining.step()}").groups() == ("1", "3", None)
    remaining.seconds = 600
    assert STATE.search(f"done {remaining.step()}").groups()[2]
