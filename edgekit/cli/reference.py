"""The command line as a page of the documentation: ``python -m edgekit.cli.reference > docs/cli.md`` (``make docs``)."""

from __future__ import annotations

import click

from edgekit.cli import cli


def reference() -> str:
    """Return docs/cli.md: every command's help as the command line prints it."""
    page = ["# Command line\n\nGenerated from the commands by `make docs`; do not edit.\n"]
    _add(page, cli, click.Context(cli, info_name="edgekit", **cli.context_settings))
    return "\n".join(page)


def _add(page: list[str], command: click.Command, context: click.Context) -> None:
    context.max_content_width = context.terminal_width = 100
    page.append(f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner:
                _add(page, inner, click.Context(inner, parent=context, info_name=name))


if __name__ == "__main__":
    click.echo(reference(), nl=False)
