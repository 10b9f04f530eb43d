"""The data of the page, embedded in it as JSON. The page's JavaScript reads these names.

Latencies are in ms, accuracies in percent, sizes in bytes. A measurement is known by its id in the ledger.
None means unknown.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from edgekit.report.page.packing import Columns, Texts


class Part(BaseModel):
    """A part of the data; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Device(Part):
    """A device that something was measured on."""

    id: str
    label: str
    model: str


class Point(Part):
    """A measurement in the plots. `excluded` says why it takes no part in the recommendation; empty if it does.

    `accuracy_low` and `accuracy_high` are its 95 % interval, or the range of its published sources. `metric` is its name
    for people, empty without an accuracy.
    """

    id: int
    title: str
    target: str
    device: str
    latency: float
    low: float
    high: float
    latency_text: str
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    accuracy_kind: str
    accuracy_text: str
    metric: str
    size: int
    size_text: str
    multiply_adds: int | None
    result: str
    kind: str
    weights: str
    random: bool
    excluded: str


class Budget(Part):
    """The likeliest model for latency budgets from `low` up to `high`; without `high` for all larger ones.

    `probability` is that of the model at the geometric middle of the span.
    """

    low: float
    high: float | None
    id: int
    probability: float


class OnFront(Part):
    """A measurement on the Pareto front, and the probability that it is there."""

    id: int
    probability: float


class Answer(Part):
    """What `edgekit select` answers for one device. `reasons` count the models that take no part, by reason."""

    accuracy: str
    kind: str
    budgets: list[Budget]
    front: list[OnFront]
    reasons: dict[str, int]
    retired: int
    next_step: str
    command: str


class Order(Part):
    """Whether multiply-adds order the models of one target on one device as their latencies do.

    `tau` is Kendall's tau-b. `same`, `other` and `undecided` count pairs of models: decided if their intervals are apart.
    """

    device: str
    target: str
    models: int
    tau: float
    same: int
    other: int
    undecided: int


class TableColumn(Part):
    """A column of a table. `values` sort the rows, one for each; None if the texts do."""

    key: str
    title: str
    right: bool
    best_high: bool
    cells: Texts
    values: list[int | float | bool | None] | None


class Table(Part):
    """A table of rows that may be compared. `ids` has the measurement of each row, and None if it was not measured."""

    heading: str
    columns: list[TableColumn]
    ids: list[int | None]


class Artifact(Part):
    """What measurements of one artifact share. `deploy` and `evaluate` are commands; `deploy` lacks device and protocol."""

    deploy: str
    evaluate: str
    manifest: list[int]


class Layer(Part):
    """The operators of a part of the network in a profile: their share of a run, in the delegate and off it, 0 to 1."""

    name: str
    inside: float
    outside: float


class Detail(Part):
    """All about one measurement. `manifest` and `conditions` are indexes into the page's facts.

    `centres` has a value per session. `samples` are some of each session, evenly spaced in time.
    `statistics` are in the order of the page's `statistics`. `where` completes the command that repeats it.
    `memory` is a sentence, empty if unknown. `layers` are in the order in which they run, and `profiled` says how they were
    found; empty without an operator profile.
    """

    artifact: int
    where: str
    evidence: str
    centres: list[float]
    samples: list[list[float]]
    statistics: list[float | int | str | None]
    conditions: list[int]
    memory: str = ""
    layers: list[Layer] = []
    profiled: str = ""


class PageData(Part):
    """Everything that the page shows. `points` are the fields of :class:`Point` as columns."""

    devices: list[Device]
    targets: list[str]
    points: Columns
    answers: dict[str, Answer]
    orders: list[Order]
    tables: list[Table]
    failures: Table | None
    details: dict[int, Detail]
    statistics: list[str]
    artifacts: list[Artifact]
    facts: list[tuple[str, str]]
