"""Options that several commands share, and the consoles that they print to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from edgekit.devices.profile import DeviceProfile
    from edgekit.measure.deciding import Goal
    from edgekit.pipeline import Plan
    from edgekit.recipe.schema import Recipe


class Finite(click.FloatRange):
    """A finite number of the range: ``nan`` and ``inf`` are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; BadParameter if it is not finite."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class Once(click.Option):
    """An option with one value. It may neither be empty nor given twice (click would silently take the last value).

    An unset variable in a script gives an empty text, which must not be treated as the default.
    """

    def __init__(self, declarations: Sequence[str], **attributes: Any) -> None:
        super().__init__(declarations, **{**attributes, "multiple": True, "callback": self._only})

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the values; UsageError if one is empty."""
        from edgekit.errors import UsageError

        if value and "" in value:
            raise UsageError(f"{self.opts[0]} is empty.", "Give it a value, or omit the option.")
        return super().type_cast_value(ctx, value)

    def _only(self, ctx: click.Context, option: click.Parameter, values: Sequence[Any]) -> Any:
        from edgekit.errors import UsageError

        if len(values) > 1:
            hint = "Give it once."
            raise UsageError(f"{self.opts[0]} was given {len(values)} times.", hint)
        return values[0] if values else None


Decorated = TypeVar("Decorated", bound=Callable[..., Any])

recipe_argument = click.argument("recipe")
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the recipe, e.g. model.width=0.75.",
)
targets_option = click.option(
    "--target",
    "--targets",
    "targets",
    multiple=True,
    metavar="T",
    help="Only these targets, whole or in part, e.g. int8. Repeat it, or separate them with commas.",
)
target_option = click.option(
    "--target", cls=Once, required=True, metavar="T", help="The artifact's target, whole or in part, e.g. tflite/int8."
)
photos_option = click.option(
    "--photos",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photos for the calibration of int8; default: varied crops of two.",
)
ledger_option = click.option(
    "--ledger",
    cls=Once,
    metavar="URL",
    help="Database; default: EDGEKIT_LEDGER, else a SQLite file in your data folder.",
)
recipes_option = click.option(
    "--recipe",
    "--recipes",
    "recipes",
    multiple=True,
    metavar="R",
    help="Only these recipes. Repeat it, or separate them with commas.",
)
devices_option = click.option(
    "--device",
    "--devices",
    "devices",
    multiple=True,
    metavar="D",
    help="Only these devices, as --recipe. An unreachable device is then a failure.",
)
protocol_option = click.option(
    "--protocol",
    cls=Once,
    metavar="NAME",
    help="1t-big, 2t, 4t, 1t-little, quick, publication, sustained, emulated, or your own (NAME, FILE.yaml); default: the "
    "device profile's.",
)
device_set_option = click.option(
    "--device-option",
    "--device-set",
    "device_overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the device profile, e.g. serial=8AEX0ABCD or host=10.0.0.7.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of the order of measurement; default: random, recorded."
)
scope_option = click.option(
    "--scope",
    type=click.Choice(("inference", "end-to-end")),
    default="inference",
    show_default=True,
    help="What is timed. end-to-end: from a camera's frame to the outputs in memory, with preprocessing.",
)
repeat_option = click.option(
    "--repeat-marked",
    type=click.IntRange(0, 1000),
    metavar="N",
    help="Repeat blocks in which something disturbed the device, N at most; default: 0.",
)
until_options = (
    click.option(
        "--until",
        cls=Once,
        type=click.Choice(("decided",)),
        help="Add sessions until it is decided what --max-latency or --margin asks, or time ends.",
    ),
    click.option(
        "--max-latency",
        cls=Once,
        metavar="TIME",
        help="For --until: which artifacts are within this budget, e.g. 20ms, and which one is the fastest.",
    ),
    click.option(
        "--margin",
        cls=Once,
        metavar="PERCENT",
        help="For --until: which artifacts differ, and which by less than this, e.g. 3%.",
    ),
    click.option(
        "--max-minutes",
        type=Finite(0, min_open=True),
        metavar="N",
        help="For --until: the time on each device; default: 30.",
    ),
)
profile_operators_option = click.option(
    "--profile-operators",
    is_flag=True,
    help="After the timing, also profile each artifact's operators. The HTML page then shows the time by layer.",
)
strict_option = click.option("--strict", is_flag=True, help="Exit with 3 unless every verdict is stable.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of a table.")


resume_option = click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Resume a run; default: the newest. An unfinished RUN of another machine is taken over.",
)


report_format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(("terminal", "markdown", "csv", "latex", "json")),
    help="Default: by the extension of --output, else terminal in a terminal, else markdown.",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(("terminal", "markdown", "csv", "latex", "json")),
    help="Output format; default: terminal. --json is short for --format json.",
)
output_option = click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this file: .md, .csv, .tex, .json or .txt.",
)


input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]SHAPE",
    help="For your own model (FILE.py:FUNCTION): the shape of an input, e.g. 3x96x96.",
)
weights_option = click.option(
    "--weights",
    cls=Once,
    metavar="FILE",
    help="For your own model: a checkpoint, random, or trained (as your code returns it).",
)


def build_options(command: Decorated) -> Decorated:
    """Add the options of commands that build some recipes."""
    for option in (
        *(json_option, ledger_option, photos_option, targets_option, set_option),
        *(weights_option, input_option, click.argument("recipes", nargs=-1, metavar="RECIPE...")),
    ):
        command = option(command)
    return command


def open_recipe(
    name: str, overrides: tuple[str, ...] = (), inputs: tuple[str, ...] = (), weights: str | None = None
) -> Recipe:
    """Load a recipe, or make one from the user's own network. Reports it before the user's code runs."""
    from edgekit.build.own_recipe import describe
    from edgekit.errors import UsageError
    from edgekit.recipe.loading import load_recipe
    from edgekit.recipe.own_model import is_source

    if not is_source(name):
        if inputs or weights:
            option = "--input" if inputs else "--weights"
            hint = "A recipe states this. Change it with --set."
            raise UsageError(f"{option} is for your own model, named FILE.py:FUNCTION.", hint)
        recipe = load_recipe(name, overrides)
        note_own_code([recipe])
        return recipe
    if overrides:
        hint = f"Write one: edgekit recipe new NAME --from {name}"
        raise UsageError("--set changes a recipe, but there is none.", hint)
    described = describe(name, inputs, weights, None, print_progress)
    for assumption in described.assumed:
        print_progress(f"assumed: {assumption}")
    return described.recipe


def note_own_code(recipes: Sequence[Recipe]) -> None:
    """Report which recipes run their own code on this machine, before they do."""
    from edgekit.build.own_recipe import running_code_of
    from edgekit.recipe.own_model import OwnModel

    for recipe in recipes:
        if isinstance(recipe.model, OwnModel):
            print_progress(running_code_of(recipe.model.source))


def plan_of(
    recipe: str,
    overrides: tuple[str, ...],
    targets: Sequence[str],
    photos: Path | None,
    inputs: tuple[str, ...] = (),
    weights: str | None = None,
    profiles: Sequence[DeviceProfile] = (),
) -> Plan:
    """Return the plan of a build from its options, by default for what `profiles` time too."""
    from edgekit.build.photos import photo_set
    from edgekit.pipeline import Plan
    from edgekit.pipeline.plan import default_targets

    loaded = open_recipe(recipe, overrides, inputs, weights)
    return Plan.of(loaded, parts_of_all(targets) or default_targets(loaded, profiles), photo_set(photos))


def add_until(command: Decorated) -> Decorated:
    """Add the options that say when measuring may stop."""
    for option in reversed(until_options):
        command = option(command)
    return command


def goal_of(until: str | None, max_latency: str | None, margin: str | None, max_minutes: float | None) -> Goal | None:
    """Return what has to be decided; None without ``--until``. UsageError for options that do not fit together."""
    from edgekit.errors import UsageError
    from edgekit.measure.deciding import MINUTES, Goal
    from edgekit.selection.units import parse_milliseconds

    example = "For example: --until decided --margin 3%"
    if until is None:
        if max_latency or margin or max_minutes:
            raise UsageError("--max-latency, --margin and --max-minutes are for --until decided.", example)
        return None
    if (max_latency is None) == (margin is None):
        raise UsageError("--until decided needs one question: --max-latency or --margin.", example)
    return Goal(
        max_latency_ms=None if max_latency is None else parse_milliseconds(max_latency, "--max-latency"),
        margin=None if margin is None else _share(margin),
        max_minutes=max_minutes or MINUTES,
    )


def _share(text: str) -> float:
    """Return a percentage such as ``3%`` as a part of 1; UsageError unless it is between 0 and 100 %."""
    from edgekit.errors import UsageError

    try:
        found = float(text.removesuffix("%")) / 100
    except ValueError:
        found = 0.0
    if not text.endswith("%") or not 0 < found < 1:
        raise UsageError(f"--margin {text!r} is not a percentage between 0 and 100.", "For example: --margin 3%")
    return found


def one_target(recipe: Recipe, name: str) -> str:
    """Return the target of a whole or partial name; UsageError if there is not exactly one."""
    from edgekit.errors import UsageError
    from edgekit.target import named_targets

    try:
        found = named_targets([name], recipe.targets)
    except ValueError as error:
        raise UsageError(f"--target {name}: {error}") from error
    if len(found) > 1:
        raise UsageError(f"--target {name} names {len(found)} targets: {', '.join(found)}.", "Name one of them.")
    return found[0]


def parts(text: str | None) -> list[str]:
    """Return the parts of a list with commas, each once; none if nothing is given.

    UsageError for an empty text, as from an unset variable in a script: it must not mean everything.
    """
    from edgekit.errors import UsageError

    found = list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    if text is not None and not found:
        raise UsageError("A list on the command line is empty.", "Separate names with commas, or omit the option.")
    return found


def parts_of_all(texts: Sequence[str]) -> list[str]:
    """Return the parts of the values of an option that may be repeated; each value is a list with commas."""
    return list(dict.fromkeys(part for text in texts for part in parts(text)))


def console() -> Console:
    """Return the console for results: standard output. Outside a terminal it has COLUMNS characters, else 170."""
    from rich.console import Console

    found = Console(soft_wrap=False, highlight=False)
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=170, highlight=False)


def print_progress(line: str) -> None:
    """Print one line of progress to standard error. A closed pipe or a full disk does not stop the work."""
    with suppress(OSError):
        click.echo(line, err=True)
