"""What ``edgekit select --json`` prints, and what the page embeds: the answer and everything that it rests on.

Models are named by `id`, their place in `candidates`. Latencies are in ms, accuracies in percent, sizes in bytes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.config.json_document import JsonDocument
from edgekit.selection.candidates import Reason
from edgekit.selection.question import Question


class Part(BaseModel):
    """A part of the document; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Spread(Part):
    """A value with its 95 % interval."""

    value: float
    interval: tuple[float, float]


class DeviceEntry(Part):
    """A device of the question, and what all latencies on it have in common."""

    name: str
    device_id: str
    model: str
    os_build: str
    protocol: str
    clock: str


class AccuracyBasis(Part):
    """The source of accuracies: `kind` is measured, derived, published, a mixture, or none."""

    kind: str
    metric: str
    data_set: str | None
    subset_sha256: str | None
    note: str


class AccuracyEntry(Part):
    """The accuracy of exactly this artifact, or a published one of its network; `photos` is None for that."""

    value: float
    interval: tuple[float, float]
    kind: str
    photos: int | None


class LatencyEntry(Part):
    """A measured latency on one device: the median of session medians, or the upper bound of the 90th percentile.

    `interval_ms` is what the selection counts with: 95 % of :func:`edgekit.selection.posterior.draw_latency`.
    """

    device_id: str
    measurement_id: int
    value_ms: float
    interval_ms: tuple[float, float]
    sessions: int
    verdict: str


class CandidateEntry(Part):
    """A model that takes part. `latency_ms` is that on its slowest device.

    - `on_front`: on the Pareto front, by the values themselves; `p_front`: probability of being on it.
    - `p_within`: probability that it is within all limits; `p_best`: that it is the answer.
    """

    id: int
    recipe: str
    variant: str
    model_hash: str
    target: str
    artifact_sha256: str
    title: str
    weights: str
    size_bytes: int
    memory_bytes: int | None
    multiply_adds: int
    parameters: int
    accuracy: AccuracyEntry
    latencies: list[LatencyEntry]
    latency_ms: float
    on_front: bool
    p_front: float
    p_within: float
    p_best: float


class Choice(Part):
    """A model, and the probability that it is the answer."""

    id: int
    probability: float


class RunnerUp(Part):
    """The answer if the winner did not exist. Differences are winner minus runner-up: points, and latency as a ratio."""

    id: int
    probability: float
    accuracy_points: Spread
    latency_ratio: Spread


class Answer(Part):
    """What to ship. `decided` says that one model has a probability of at least 0.95.

    - `winner` is the likeliest model; None if it is likelier that no model is within the limits.
    - `tied` are the likeliest models which together have at least 0.95; one model if it is decided.
    - `p_none` is the probability that no model is within the limits.
    """

    decided: bool
    winner: int | None
    probability: float
    tied: list[Choice]
    p_none: float
    runner_up: RunnerUp | None


class BudgetEntry(Part):
    """Latency budgets for which a model is the likeliest answer: from `from_ms` up to `to_ms`, or without end."""

    from_ms: float
    to_ms: float | None
    id: int
    probability: float


class Retired(Part):
    """A model that another is at least as fast and as accurate as, with a probability of at least 0.95.

    `by` is the model that most often is so; `p_by` is how probable that single comparison is.
    """

    id: int
    probability: float
    by: int
    p_by: float


class RewardEntry(Part):
    """The ranking by MnasNet's reward, accuracy x (latency / budget) ^ w (arXiv:1807.11626, equation 2), best first."""

    w: float
    winner: int
    probability: float
    ranking: list[int]


class RewardSpan(Part):
    """Exponents w, from `from_w` to `to_w`, for which a model has the largest reward by the values themselves."""

    from_w: float
    to_w: float
    id: int


class Agreement(Part):
    """How far two devices order the models alike: Kendall's tau of the latencies; None if they are too few."""

    device_a: str
    device_b: str
    tau: float | None
    p_value: float | None
    models: int


class Exclusion(Part):
    """A model that takes no part, on which device, why, and what to do. What was not reached is None."""

    recipe: str
    variant: str
    target: str
    model_hash: str | None
    device_id: str | None
    reason: Reason
    message: str
    hint: str


class NextStep(Part):
    """The one further measurement that would most likely change the answer, and the probability that it does.

    `guessed` says that something about the model is only guessed from the others, so the probability is rough.
    """

    what: Literal["time", "evaluate"]
    title: str
    device: str | None
    probability: float
    guessed: bool
    command: str


class SelectDocument(JsonDocument):
    """Which model to ship, how sure that is, and why. `draws` of the posterior by `question.seed`."""

    question: Question
    objective: str
    devices: list[DeviceEntry]
    accuracy: AccuracyBasis
    answer: Answer
    candidates: list[CandidateEntry]
    budgets: list[BudgetEntry]
    retired: list[Retired]
    rewards: list[RewardEntry]
    reward_spans: list[RewardSpan]
    agreement: list[Agreement]
    exclusions: list[Exclusion]
    next_step: NextStep | None
    draws: int
