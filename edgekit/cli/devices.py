"""edgekit devices."""

from __future__ import annotations

import click

from edgekit.cli.options import console


@click.command()
def command() -> None:
    """List the device profiles: which are reachable, and what they can run.

    Example: edgekit devices
    """
    from rich.table import Table
    from rich.text import Text

    from edgekit.devices.base import open_device
    from edgekit.devices.profile import known_profiles, load_profile
    from edgekit.errors import EdgekitError

    table = Table()
    for column in ("device", "description", "state", "runs", "what it is, or what to do"):
        table.add_column(column, overflow="fold")
    for name, file in sorted(known_profiles().items()):
        runs = description = ""
        try:
            profile = load_profile(str(file))
            runs, description = ", ".join(profile.runs), profile.description
            device = open_device(profile)
            try:
                identity = device.identify()
                detail = f"{identity.model}, {identity.facts.get('soc', 'unknown')}, {identity.os_build}"
            finally:
                device.release()
        except EdgekitError as error:
            state = Text(error.failure.kind.label, "red")
            detail = f"{error.failure.message} {error.failure.hint}".strip()
        else:
            state = Text("reachable", "green")
        table.add_row(Text(name), Text(description), state, Text(runs), Text(detail))
    console().print(table)
