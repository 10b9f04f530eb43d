"""edgekit device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import Once, device_set_option, format_option, json_option, print_progress
from edgekit.cli.printing import print_list

if TYPE_CHECKING:
    from edgekit.devices.remote import RemoteDevice


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List devices, add one, check one, and clean up after edgekit.

    Example: edgekit device check pixel
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
@format_option
@json_option
def list_(format_: str | None = None, as_json: bool = False) -> None:
    """List the device profiles, their state and the targets that they can run.

    Example: edgekit device list --json
    """
    from edgekit.devices.listing import list_devices
    from edgekit.report.devices import devices_report

    print_list(list_devices(), devices_report, "edgekit device list --json", format_, as_json)


@command.command()
@click.argument("name", required=False)
@click.option("--serial", cls=Once, metavar="S", help="A phone's serial number, or its name in `adb devices`.")
@click.option("--host", cls=Once, metavar="H", help="A board's address, or its alias in ~/.ssh/config.")
@click.option("--kind", type=click.Choice(("android", "linux")), help="Default: linux with --host, else android.")
@click.option("--device-option", "options", multiple=True, metavar="KEY=VALUE", help="Another key, e.g. user=nvidia.")
@click.option("--output", cls=Once, type=click.Path(path_type=Path), metavar="FILE", help="Default: your own profiles.")
def add(
    name: str | None,
    serial: str | None,
    host: str | None,
    kind: str | None,
    options: tuple[str, ...],
    output: Path | None,
) -> None:
    """Write a profile for an attached phone or a board, from what it reports.

    NAME is the new profile's name; default: the device's model. One attached phone needs no options.

    Example: edgekit device add my-pixel --serial 8AEX0ABCD
    """
    from edgekit.devices.adding import added_profile

    keys = {"kind": kind or ("linux" if host else "android"), "serial": serial, "host": host}
    values = {**{key: value for key, value in keys.items() if value is not None}, **dict(_pairs(options))}
    profile, file = added_profile(values, name, output)
    click.echo(f"{file}: written. It is {profile.description}.")
    click.echo(f"Next: edgekit device check {file if output else profile.name}")


def _pairs(options: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """Return the keys and values of ``KEY=VALUE``. UsageError for another form."""
    from edgekit.config.yaml import Override

    for text in options:
        override = Override(text, f"--device-option {text}")
        yield override.keys[0], override.value


@command.command()
@click.argument("name")
@device_set_option
def check(name: str, device_overrides: tuple[str, ...]) -> int:
    """Test a device end to end with a tiny model, and explain the first failure.

    Example: edgekit device check pixel
    """
    from edgekit.devices.profile import load_profile
    from edgekit.errors import EdgekitError, ExitCode
    from edgekit.pipeline.device_check import check_device

    with closing(check_device(load_profile(name, device_overrides), print_progress)) as steps:
        for step in steps:
            try:
                click.echo(f"ok    {step.name}: {step.do()}")
            except EdgekitError as error:
                failure = error.failure
                skipped = failure.kind in step.skipped
                click.echo(f"{'skip' if skipped else 'FAIL'}  {failure.line(step.name)}")
                if not skipped:
                    return ExitCode.of(failure)
    return ExitCode.done


@command.command()
@click.argument("name")
@device_set_option
def setup(name: str, device_overrides: tuple[str, ...]) -> None:
    """Create a Python environment with a suitable runtime on a device.

    Macs need one (coremltools). Boards need one (TFLite) if their profile has `runner: python` or the tool
    `benchmark_litert_model`.

    Example: edgekit device setup mac
    """
    from edgekit.devices.base import CanSetUp, opened
    from edgekit.devices.profile import load_profile
    from edgekit.errors import UsageError
    from edgekit.pipeline.turns import timing

    with opened(load_profile(name, device_overrides)) as device:
        if not isinstance(device, CanSetUp):
            raise UsageError(f"{name} is neither a Linux board nor a Mac.", "Others need no setup.")
        with timing(device, print_progress):
            click.echo(device.setup().rstrip())


@command.command()
@click.argument("name")
@device_set_option
def restore(name: str, device_overrides: tuple[str, ...]) -> None:
    """Clean up after a killed edgekit: stop its processes on a device and restore the device's settings.

    Example: edgekit device restore pixel
    """
    with _held(name, device_overrides) as device:
        was = device.restore()
    click.echo(f"{name} is restored." if was else f"There was nothing to restore on {name}.")


@command.command()
@click.argument("name")
@device_set_option
def clean(name: str, device_overrides: tuple[str, ...]) -> None:
    """Remove all files of edgekit from a device: runners, libraries, artifacts, inputs.

    Example: edgekit device clean pixel
    """
    with _held(name, device_overrides) as device:
        device.clean()
    click.echo(f"{device.root} was removed from {name}.")


@contextmanager
def _held(name: str, overrides: tuple[str, ...]) -> Iterator[RemoteDevice]:
    """Open and lock a device that keeps files of edgekit; UsageError for others."""
    from edgekit.devices.base import opened
    from edgekit.devices.profile import load_profile
    from edgekit.devices.remote import RemoteDevice
    from edgekit.errors import UsageError
    from edgekit.pipeline.turns import timing

    with opened(load_profile(name, overrides)) as device:
        if not isinstance(device, RemoteDevice):
            raise UsageError(f"{name} keeps no files of edgekit.", "There is nothing to do.")
        with timing(device, print_progress):
            yield device
