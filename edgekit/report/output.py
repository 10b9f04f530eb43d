"""Output of a report: to standard output, or to a complete file."""

from __future__ import annotations

import io
import os
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.report import text
from edgekit.report.column import Format
from edgekit.report.sheet import Report
from edgekit.report.terminal import terminal

SUFFIXES: dict[str, Format] = {
    ".md": "markdown",
    ".csv": "csv",
    ".tex": "latex",
    ".json": "json",
    ".txt": "terminal",
}
FORMATS: dict[str, Format] = {format: format for format in SUFFIXES.values()}
"""What ``--format`` takes."""
FILE_WIDTH = 200
"""Characters of a line of a terminal's table in a file."""


def format_of(path: Path) -> Format:
    """Return the format of a file by its name; UsageError if the name shows none."""
    if path.suffix not in SUFFIXES:
        known = ", ".join(f"{suffix} ({format})" for suffix, format in SUFFIXES.items())
        raise UsageError(
            f"The name {path} does not say which format to write.", f"Add --format, or end it with {known}."
        )
    return SUFFIXES[path.suffix]


def rendered(report: Report, format: Format, width: int = FILE_WIDTH) -> str:
    """Return a report as text that ends with a line feed; `width` is a terminal's."""
    match format:
        case "markdown":
            return text.markdown(report)
        case "latex":
            return text.latex(report)
        case "csv":
            return text.csv(report)
        case "json":
            return text.document(report).model_dump_json(by_alias=True, indent=2) + "\n"
        case "terminal":
            return _plain(report, width)
        case "html":
            raise UsageError("This table is not a page.", "Choose another format.")


def _plain(report: Report, width: int) -> str:
    """Return a terminal's table without colours."""
    from rich.console import Console

    output = io.StringIO()
    console = Console(file=output, width=width, highlight=False, color_system=None)
    console.print(terminal(report, width), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def write_whole(path: Path, content: str) -> None:
    """Write a file whole or not at all: beside it, then in its place. A file that is there is replaced.

    UsageError if the place is not a regular file or cannot be written. OSError if the disk is full; nothing changes then.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        raise UsageError(f"{path} is not a regular file.", "Choose another file.")
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        file = beside.open("x", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another file.") from error
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
