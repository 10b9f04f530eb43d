"""edgekit devices."""

from __future__ import annotations

import click

from edgekit.cli.options import console


@click.command()
def command() -> None:
    """List the device profiles: which are reachable, and what they can run.

    Example: edgekit devices
    """
    from rich.markup import escape
    from rich.table import Table

    from edgekit.devices.base import open_device
    from edgekit.devices.profile import known_profiles, load_profile
    from edgekit.errors import EdgekitError

    table = Table()
    for column in ("device", "description", "state", "runs", "what it is, or what to do"):
        table.add_column(column, overflow="fold")
    for name in sorted(known_profiles()):
        profile = load_profile(name)
        try:
            device = open_device(profile)
        except EdgekitError as error:
            state, detail = f"[red]{error.failure.kind.label}", f"{error.failure.message} {error.failure.hint}"
        else:
            identity = device.identify()
            state, detail = "[green]reachable", f"{identity.model}, {identity.facts.get('soc')}, {identity.os_build}"
            device.release()
        table.add_row(profile.name, profile.description, state, ", ".join(profile.runs), escape(detail))
    console().print(table)
