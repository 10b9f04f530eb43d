"""edgekit select."""

from __future__ import annotations

import click

from edgekit.cli.options import Finite, Once, console, json_option, ledger_option, parts


@click.command()
@click.option(
    "--device",
    "devices",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Device profile or device id. Repeat it for one model that serves all devices.",
)
@click.option("--max-latency", cls=Once, metavar="TIME", help="Latency budget with its unit, e.g. 20ms.")
@click.option(
    "--percentile",
    type=click.Choice(["p50", "p90"]),
    default="p50",
    show_default=True,
    help="The latency of the budget: the median, or the upper bound of the 90th percentile.",
)
@click.option(
    "--min-accuracy",
    cls=Once,
    type=Finite(0, 100),
    metavar="PERCENT",
    help="Required accuracy. Without --max-latency, the answer is the fastest such model.",
)
@click.option("--max-size", cls=Once, metavar="SIZE", help="Largest file with its unit, e.g. 6MB.")
@click.option("--max-memory", cls=Once, metavar="SIZE", help="Largest memory of the program that runs it, e.g. 80MB.")
@click.option("--runtime", cls=Once, metavar="R,R", help="Only these runtimes, e.g. tflite.")
@click.option("--target", cls=Once, metavar="T,T", help="Only these targets, whole or parts, e.g. int8.")
@click.option("--recipe", cls=Once, metavar="R,R", help="Only these recipes.")
@click.option("--protocol", cls=Once, metavar="NAME", help="Only this protocol; default: the most used one.")
@click.option(
    "--weights",
    type=click.Choice(["any", "trained"]),
    default="any",
    show_default=True,
    help="trained: omit models with random weights.",
)
@click.option(
    "--accuracy",
    cls=Once,
    type=click.Choice(["measured", "published", "any"]),
    help="Source of accuracies; default: measured, or published if none was measured.",
)
@click.option(
    "--equal-within",
    type=Finite(0, 100),
    default=0.5,
    show_default=True,
    metavar="POINTS",
    help="Models within this distance in accuracy are equal: the fastest wins.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the random draws."
)
@ledger_option
@json_option
def command(
    devices: tuple[str, ...],
    max_latency: str | None,
    percentile: str,
    min_accuracy: float | None,
    max_size: str | None,
    max_memory: str | None,
    runtime: str | None,
    target: str | None,
    recipe: str | None,
    protocol: str | None,
    weights: str,
    accuracy: str | None,
    equal_within: float,
    seed: int,
    ledger: str | None,
    as_json: bool,
) -> int:
    """Choose the model to ship on a device, with the probability that it is the best.

    Ends with 0 if one model is the answer with a probability of at least 95 %, else with 3. See docs/selecting.md.

    Example: edgekit select --device host --max-latency 8ms
    """
    from edgekit.errors import ExitCode
    from edgekit.ledger import Ledger
    from edgekit.selection.choosing import choose
    from edgekit.selection.question import Question
    from edgekit.selection.table import printed
    from edgekit.selection.units import parse_bytes, parse_milliseconds

    question = Question.model_validate(
        {
            "devices": devices,
            "max_latency_ms": parse_milliseconds(max_latency, "--max-latency") if max_latency else None,
            "percentile": percentile,
            "min_accuracy": min_accuracy,
            "max_size_bytes": parse_bytes(max_size, "--max-size") if max_size else None,
            "max_memory_bytes": parse_bytes(max_memory, "--max-memory") if max_memory else None,
            "runtimes": parts(runtime),
            "targets": parts(target),
            "recipes": parts(recipe),
            "protocol": protocol,
            "weights": weights,
            "accuracy": accuracy,
            "equal_within": equal_within,
            "seed": seed,
        }
    )
    with Ledger.open(ledger, must_exist=True) as opened:
        document = choose(opened, question)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    else:
        console().print(printed(document))
    return ExitCode.done if document.answer.decided else ExitCode.untrustworthy
