"""Progress in a terminal: a bar below the lines, so that a long compilation is seen to be at work."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import print_progress

if TYPE_CHECKING:
    from rich.console import Console

STATE = re.compile(r"\[(\d+)/(\d+)(?:, (\d+) min left)?\]$")
"""How a line ends that counts steps: see :meth:`edgekit.pipeline.remaining.Remaining.step`."""


@contextmanager
def live_progress(console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Yield what shows lines of progress: with a bar below them in a terminal, as plain lines elsewhere.

    With ``edgekit --quiet`` it shows nothing.

    The bar shows the time since the start, the steps that are done, and the minutes left if they are known.
    """
    context = click.get_current_context(silent=True)
    if context and (context.find_root().obj or {}).get("quiet"):
        yield lambda line: None
        return
    if console is None and not sys.stderr.isatty():
        yield print_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TimeElapsedColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"))
    with Progress(*columns, console=console or Console(stderr=True), transient=True) as bar:
        task = bar.add_task("preparing", total=None)

        def show(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            if found := STATE.search(line):
                done, steps, left = found.groups()
                description = f"{done} of {steps} done" + (f", {left} min left" if left else "")
                bar.update(task, completed=int(done), total=int(steps), description=description, refresh=True)

        yield show
