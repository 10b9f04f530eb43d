"""Lists and inspections at the widths of terminals: no column is lost without a word, no number is broken."""

import re
from io import StringIO

import pytest
from rich.console import Console

from edgekit.devices.discovery import AttachedDevice
from edgekit.devices.listing import DeviceLine, DevicesDocument
from edgekit.inspection import InspectDocument, inspect, inspect_closely
from edgekit.inspection.tables import listing, page
from edgekit.inspection.tables import terminal as inspection
from edgekit.recipe.files import list_recipes
from edgekit.recipe.loading import load_recipe
from edgekit.report.devices import devices_report
from edgekit.report.recipes import recipes_report
from edgekit.report.terminal import terminal

WIDTHS = (80, 100, 200)
USB = "cannot be reached over USB (any phone): no phone is attached."
DEVICES = DevicesDocument(
    devices=[
        DeviceLine(
            name="host",
            description="this machine",
            kind="host",
            state="reachable",
            runs=("tflite", "executorch"),
            model="ThinkPad X1 Carbon Gen 9",
            soc="11th Gen Intel(R) Core(TM) i7-1165G7",
            os_build="Linux 6.18.44-fc-v657",
            file="host.yaml",
        ),
        *(
            DeviceLine(
                name=name,
                state="device offline",
                runs=("tflite",),
                problem=f"{name} {USB}",
                hint="Attach it.",
                file="x.yaml",
            )
            for name in ("pixel", "pixel1", "raspberry-pi-4-with-a-long-name")
        ),
    ],
    attached=[
        AttachedDevice(
            serial="adb-R58M123ABC-Xy12Zw._adb-tls-connect._tcp",
            connection="adb server",
            kind="android",
            state="reachable",
            model="SM-G973F",
            soc="exynos9820",
            cpus=8,
            system="Android 12 (API 31)",
            free_bytes=21_400_000_000,
            profiles=("pixel",),
        )
    ],
    ssh_hosts=["nano", "orin"],
)
SCREENS = {
    "devices": lambda width: terminal(devices_report(DEVICES), width),
    "recipes": lambda width: terminal(recipes_report(list_recipes()), width),
    "inspect": lambda width: inspection(page(inspect_closely(load_recipe("v2")))),
    "inspect_all": lambda width: inspection(
        listing(
            InspectDocument(recipes=[inspect(load_recipe(name)) for name in ("v2", "deeplabv3_v2", "ssdlite_v3_large")])
        )
    ),
}
FIRST = {"devices": "Device", "recipes": "Recipe", "inspect": "layer", "inspect_all": "recipe"}


def shown(name, width):
    output = StringIO()
    Console(file=output, width=width, highlight=False).print(SCREENS[name](width), crop=False)
    return output.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_every_line_fits_and_the_first_column_is_there(name, width):
    lines = shown(name, width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert any(line.strip().startswith(FIRST[name]) for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_and_no_shape_is_broken(width):
    text = shown("inspect", width)
    entry = inspect_closely(load_recipe("v2"))
    for layer in entry.layers:
        if layer.operator != "batch norm":
            assert "x".join(map(str, layer.output)) in text.split()
            assert f"{layer.multiply_adds:,}" in text.split()
    assert f"{entry.multiply_adds:,}" in text.split()


def test_devices_that_can_be_reached_are_first_and_a_problem_is_said_once():
    text = " ".join(shown("devices", 80).split())
    assert text.count("cannot be reached over USB") == 1
    assert "pixel, pixel1, raspberry-pi-4-with-a-long-name: cannot be reached" in text
    assert text.index("host") < text.index("pixel")


def test_a_narrow_terminal_says_which_columns_have_no_room():
    wide, narrow = shown("devices", 200), shown("devices", 80)
    headings = re.findall(r"\w+", wide.splitlines()[0])
    missing = [heading for heading in headings if heading not in narrow.splitlines()[0]]
    assert missing  # or this test tests nothing
    (said,) = [line for line in narrow.splitlines() if "No room here for" in line]
    assert all(heading in said for heading in missing)
