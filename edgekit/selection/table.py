"""What ``edgekit select`` prints for people; it fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.selection.accuracies import LABELS
from edgekit.selection.candidates import Reason
from edgekit.selection.document import CandidateEntry, Exclusion, SelectDocument, Spread
from edgekit.selection.units import format_bytes, format_milliseconds, significant

ON_FRONT = 0.05
"""From which probability of being on the front a model is in the table."""
ROWS, NAMES = 20, 3
"""At most so many rows of the table, and names in a list; `--json` has all."""
REASONS = {
    Reason.failed: "failed",
    Reason.noisy: "too noisy",
    Reason.too_few_sessions: "too few sessions",
    Reason.not_measured: "not measured",
    Reason.no_runtime: "runtime not measured there",
    Reason.no_accuracy: "no accuracy",
    Reason.other_photos: "evaluated on other photos",
    Reason.other_metric: "another metric",
    Reason.emulated: "emulated device",
    Reason.other_protocol: "another protocol",
    Reason.other_clock: "other clocks",
    Reason.other_device: "another device of that name",
    Reason.no_p90: "no bound of p90",
    Reason.too_large: "too large",
    Reason.too_much_memory: "too much memory",
    Reason.unknown_memory: "memory unknown",
    Reason.random_weights: "random weights",
}


def printed(document: SelectDocument) -> RenderableType:
    """Return the answer first, then the front, then what else follows from it."""
    parts: list[RenderableType] = [*_question(document), Text(), *_answer(document)]
    if document.candidates:
        parts += [Text(), _front(document), *_budgets(document), *_rest(document)]
    parts += [*_exclusions(document.exclusions), *_next_step(document)]
    return Group(*parts)


def percent(probability: float) -> str:
    """Return a probability for people; never 0 or 100 %, which no sample can show."""
    if probability > 0.995:
        return ">99 %"
    return "<1 %" if probability < 0.005 else f"{probability:.0%}".replace("%", " %")


def _question(document: SelectDocument) -> Iterator[Text]:
    yield Text(f"Question: {document.objective}.")
    for device in document.devices:
        known = f"{device.name} {device.device_id[:8]}: {device.model}, {device.os_build}"
        yield Text(f"Device {known}; protocol {device.protocol}, clocks {device.clock}.")
    if document.accuracy.note:
        yield Text(f"Accuracy: {document.accuracy.note}")


def _answer(document: SelectDocument) -> Iterator[Text]:
    answer, models = document.answer, document.candidates
    if not models:
        yield Text("No answer: no model takes part. The reasons are below.", "bold red")
        return
    if answer.winner is None:
        said = f"No model is within the limits (probability {percent(answer.p_none)})."
        yield Text(said, "bold red")
        return
    winner = models[answer.winner]
    if answer.decided:
        yield Text(f"Ship {winner.title}: the answer with probability {percent(answer.probability)}.", "bold green")
        out = f"; {len(document.exclusions)} do not, for the reasons below" if document.exclusions else ""
        yield Text(f"- {len(models)} {'model takes' if len(models) == 1 else 'models take'} part{out}")
    else:
        yield Text("Undecided. No model is the answer with probability 95 %. The likeliest:", "bold yellow")
        for choice in answer.tied[:ROWS]:
            yield Text(f"  {percent(choice.probability):>5}  {models[choice.id].title}")
        if answer.p_none >= 0.005:
            yield Text(f"  {percent(answer.p_none):>5}  no model is within the limits")
        yield Text(f"Of these, {winner.title}:")
    yield from _details(winner, document)


def _details(winner: CandidateEntry, document: SelectDocument) -> Iterator[Text]:
    names = {device.device_id: device.name for device in document.devices}
    kind = "p90 at most" if document.question.percentile == "p90" else "latency"
    for latency in winner.latencies:
        where = f" on {names[latency.device_id]}" if len(names) > 1 else ""
        value = f"{_interval(latency.value_ms, latency.interval_ms)} ms{where}"
        yield Text(f"- {kind} {value}, {latency.sessions} sessions, {latency.verdict}")
    memory = f"; memory {format_bytes(winner.memory_bytes)}" if winner.memory_bytes is not None else ""
    label = LABELS[document.accuracy.metric]
    yield Text(f"- {label} {_accuracy(winner)}; size {format_bytes(winner.size_bytes)}{memory}")
    yield Text(f"- within the limits with probability {percent(winner.p_within)}")
    if winner.weights.startswith("random"):
        yield Text(f"- weights: {winner.weights}: train it before you ship it", "yellow")
    second = document.answer.runner_up
    if second is None:
        yield Text("- no other model is likely to be within the limits")
        return
    yield Text(f"- runner-up: {document.candidates[second.id].title} ({percent(second.probability)})")
    points = second.accuracy_points
    yield Text(f"  the winner has {_signed(points)} points, {_ratio(second.latency_ratio)} times its latency")


def _front(document: SelectDocument) -> Table:
    latency = "p90 bound" if document.question.percentile == "p90" else "latency"
    if len(document.devices) > 1:
        latency = f"slowest\n{latency}"
    table = Table(title="Pareto front", title_justify="left", title_style="bold", box=box.SIMPLE)
    table.padding = (0, 1, 0, 0)
    table.add_column("model", overflow="fold", min_width=23)
    for heading in (
        f"{latency}\nms",
        f"{LABELS[document.accuracy.metric]}\n%",
        "size\nMB",
        "P\nfront",
        "P\nlimits",
        "P\nbest",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = sorted(
        (candidate for candidate in document.candidates if candidate.p_front >= ON_FRONT),
        key=lambda candidate: candidate.latency_ms,
    )
    for entry in _nearest(shown, document):
        slowest = max(entry.latencies, key=lambda entry: entry.value_ms)
        low, high = (format_milliseconds(end) for end in slowest.interval_ms)
        table.add_row(
            Text(f"{entry.title.removesuffix(entry.target).strip()}\n{entry.target}"),
            f"{format_milliseconds(entry.latency_ms)}\n[{low}, {high}]",
            f"{entry.accuracy.value:.1f}{_mark(entry)}\n[{entry.accuracy.interval[0]:.1f}, {entry.accuracy.interval[1]:.1f}]",
            significant(entry.size_bytes / 1e6),
            percent(entry.p_front),
            percent(entry.p_within),
            percent(entry.p_best),
            style="bold" if entry.id == document.answer.winner else None,
        )
    if len(shown) > ROWS:
        table.caption = f"{ROWS} of {len(shown)} models, those nearest to the answer; --json has all."
        table.caption_justify = "left"
    return table


def _nearest(shown: Sequence[CandidateEntry], document: SelectDocument) -> Sequence[CandidateEntry]:
    """Return at most :data:`ROWS` of the models, by latency: those around the answer."""
    winner = document.answer.winner
    place = next((index for index, entry in enumerate(shown) if entry.id == winner), len(shown))
    start = max(0, min(place - ROWS // 2, len(shown) - ROWS))
    return shown[start : start + ROWS]


def _budgets(document: SelectDocument) -> Iterator[Text]:
    if not document.budgets:
        return
    yield Text("The likeliest answer for each latency budget", "bold")
    for budget in document.budgets[:ROWS]:
        title = document.candidates[budget.id].title
        yield Text(f"  from {format_milliseconds(budget.from_ms):>6} ms  {title} ({percent(budget.probability)})")
    if len(document.budgets) > ROWS:
        yield Text(f"  and {len(document.budgets) - ROWS} more; --json has all.")
    yield Text()


def _rest(document: SelectDocument) -> Iterator[Text]:
    models = document.candidates
    for reward in document.rewards:
        others = ", ".join(models[id].title for id in reward.ranking[1:NAMES])
        then = f", then {others}" if others else ""
        yield Text(
            f"- MnasNet's reward, w = {reward.w:g}: {models[reward.winner].title} ({percent(reward.probability)}){then}"
        )
    for before, after in zip(document.reward_spans, document.reward_spans[1:], strict=False):
        if -0.3 < after.from_w < -0.01:
            change = f"from {models[before.id].title} to {models[after.id].title}"
            yield Text(f"- the best by that reward changes at w = {after.from_w:.3f}, {change}")
    for pair in document.agreement:
        tau = "unknown" if pair.tau is None else f"{pair.tau:.2f}"
        yield Text(f"- {pair.device_a} and {pair.device_b} order {pair.models} models: Kendall's tau {tau}")
    if document.retired:
        names = _some([models[retired.id].title for retired in document.retired])
        yield Text(f"- to retire, since another is as fast and as accurate (95 %): {len(document.retired)}: {names}")


def _exclusions(exclusions: Sequence[Exclusion]) -> Iterator[Text]:
    for reason, group in groupby(
        sorted(exclusions, key=lambda exclusion: list(Reason).index(exclusion.reason)),
        lambda exclusion: exclusion.reason,
    ):
        own = list(group)
        names = _some(
            [" ".join(filter(None, (exclusion.recipe, exclusion.variant, exclusion.target))) for exclusion in own]
        )
        yield Text(f"- excluded, {REASONS[reason]}: {len(own)}: {names}")
        hint = f" {own[0].hint}" if own[0].hint else ""
        yield Text(f"  {own[0].message.rstrip('.')}.{hint}")


def _next_step(document: SelectDocument) -> Iterator[Text]:
    step = document.next_step
    if step is None or step.probability < 0.01:
        yield Text("- no single further measurement is likely to change the answer")
        return
    again, more = ("", "") if step.guessed else (" again", " on more photos")
    what = f"time {step.title}{again} on {step.device}" if step.what == "time" else f"evaluate {step.title}{more}"
    guess = "; a rough guess" if step.guessed else ""
    yield Text(f"- next: {what}: it changes the answer with probability {percent(step.probability)}{guess}")
    yield Text(f"  {step.command}")


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMES
    return "; ".join(names[:NAMES]) + (f"; and {more} more" if more > 0 else "")


def _accuracy(candidate: CandidateEntry) -> str:
    low, high = candidate.accuracy.interval
    photos = f", {candidate.accuracy.photos} photos" if candidate.accuracy.photos else ""
    return f"{candidate.accuracy.value:.1f} [{low:.1f}, {high:.1f}] % ({candidate.accuracy.kind}{photos})"


def _mark(candidate: CandidateEntry) -> str:
    """Mark a published accuracy."""
    return " pub." if candidate.accuracy.kind == "published" else ""


def _interval(value: float, interval: tuple[float, float]) -> str:
    low, high = (format_milliseconds(end) for end in interval)
    return f"{format_milliseconds(value)} [{low}, {high}]"


def _signed(spread: Spread) -> str:
    value, low, high = (f"{number:+.1f}".replace("-0.0", "+0.0") for number in (spread.value, *spread.interval))
    return f"{value} [{low}, {high}]"


def _ratio(spread: Spread) -> str:
    return f"{spread.value:.2f} [{spread.interval[0]:.2f}, {spread.interval[1]:.2f}]"
