"""The one further measurement that would most likely change the answer.

For models that take part: if their latency (or accuracy) were known exactly, how likely would another model be the answer? The
draws are sorted by that quantity and cut into equal parts; within each part it is next to known. The share of the parts in which
another model is the likeliest answer is what is sought (as for the value of partial information: Strong and Oakley 2013,
Medical Decision Making 33:755-766).

For models that take no part, since something about them is unknown: how likely would they win if it were known? What is not
known is guessed from the models that take part, and broadly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgekit.selection.candidates import Candidate, Reason
from edgekit.selection.deciding import NOBODY, Winners, probabilities, winners
from edgekit.selection.posterior import Array, Draws, draw_accuracies, draw_latency
from edgekit.selection.question import Question

DRAWS = 1000
"""For models that take no part."""
PARTS = 16
"""Into which draws are cut."""
CURABLE = {
    *(Reason.noisy, Reason.too_few_sessions, Reason.not_measured, Reason.no_accuracy, Reason.other_photos),
    *(Reason.other_protocol, Reason.other_clock, Reason.other_device, Reason.no_p90, Reason.emulated),
}
"""Reasons that a further measurement removes."""
LIKELY = 0.01
"""Candidates less likely to win than this are not looked at: measuring them again changes next to nothing."""


@dataclass(frozen=True)
class Step:
    """A further measurement of a candidate: of its latency on a device (its id), or of its accuracy."""

    candidate: Candidate
    what: Literal["time", "evaluate"]
    device: str | None
    probability: float
    guessed: bool


def best_step(
    candidates: Sequence[Candidate],
    excluded: Sequence[Candidate],
    draws: Draws,
    found: Winners,
    question: Question,
    devices: Sequence[str],
) -> Step | None:
    """Return the measurement that most likely changes the answer; None if none is likely to."""
    steps = _of_candidates(candidates, draws, found, devices)
    known = Known(candidates, np.median(draws.latency, axis=0), np.median(draws.accuracy, axis=0))
    rivals = draws.of(np.unique(found[found != NOBODY])).first(DRAWS)
    random = np.random.default_rng([question.seed, 1])
    for candidate in excluded:
        if candidate.manifest is not None and all(problem.reason in CURABLE for problem in candidate.problems):
            steps.append(_of_excluded(candidate, known, rivals, question, devices, random))
    return max((step for step in steps if step.probability > 0), key=lambda step: step.probability, default=None)


def _of_candidates(candidates: Sequence[Candidate], draws: Draws, found: Winners, devices: Sequence[str]) -> list[Step]:
    shares = probabilities(found, len(candidates))
    answer = int(shares.argmax())
    steps = []
    for index, candidate in enumerate(candidates):
        if shares[index] < LIKELY:
            continue
        change = p_change(draws.accuracy[:, index], found, answer, len(candidates))
        steps.append(Step(candidate, "evaluate", None, change, guessed=False))
        for layer, device in enumerate(devices):
            change = p_change(draws.latency[:, index, layer], found, answer, len(candidates))
            steps.append(Step(candidate, "time", device, change, guessed=False))
    return steps


def p_change(quantity: Array, found: Winners, answer: int, candidates: int) -> float:
    """Return how likely another candidate than `answer` is the likeliest winner once `quantity` (one per draw) is known."""
    changed = 0
    for part in np.array_split(np.argsort(quantity, kind="stable"), PARTS):
        if int(probabilities(found[part], candidates).argmax()) != answer:
            changed += len(part)
    return changed / len(found)


def _of_excluded(
    candidate: Candidate,
    known: Known,
    rivals: Draws,
    question: Question,
    devices: Sequence[str],
    random: np.random.Generator,
) -> Step:
    """Return how likely a candidate that takes no part would win, and what has to be measured for that."""
    missing = next(
        (device for device in devices if any(problem.device == device for problem in candidate.problems)), None
    )
    guessed = candidate.accuracy is None
    latency = np.empty((DRAWS, 1, len(devices)))
    for layer, device in enumerate(devices):
        if len(candidate.centres.get(device, ())) > 1:
            latency[:, 0, layer] = draw_latency(candidate.centres[device], random, DRAWS)
        else:
            guessed = True
            latency[:, 0, layer] = known.guess_latency(candidate, layer, question, random)
    accuracy = (
        draw_accuracies([candidate.accuracy], random, DRAWS)
        if candidate.accuracy
        else known.guess_accuracy(candidate, random)
    )
    everyone = Draws(
        np.concatenate([rivals.latency, latency], axis=1), np.concatenate([rivals.accuracy, accuracy], axis=1)
    )
    own = rivals.accuracy.shape[1]
    won = float((winners(everyone, question, question.max_latency_ms) == own).mean())
    return Step(candidate, "time" if missing else "evaluate", missing, won, guessed)


@dataclass(frozen=True)
class Known:
    """The models that take part, with the middle of their latencies in ms (models, devices) and accuracies in percent."""

    candidates: Sequence[Candidate]
    latency: Array
    accuracy: Array

    def guess_latency(self, candidate: Candidate, layer: int, question: Question, random: np.random.Generator) -> Array:
        """Guess a latency from multiply-adds: by the ratio of both among models of the same target, else among all.

        Without any model: anywhere near the budget.
        """
        alike = [index for index, other in enumerate(self.candidates) if other.target == candidate.target]
        alike = alike or list(range(len(self.candidates)))
        noise = random.standard_normal(DRAWS)
        if not alike:
            return np.asarray((question.max_latency_ms or 1.0) * np.exp(noise))
        ratios = np.log(self.latency[alike, layer]) - np.log([_cost(self.candidates[index]) for index in alike])
        spread = max(float(ratios.std(ddof=1)), 0.1) if len(ratios) > 1 else 1.0
        return np.asarray(np.exp(np.log(_cost(candidate)) + np.median(ratios) + spread * noise))

    def guess_accuracy(self, candidate: Candidate, random: np.random.Generator) -> Array:
        """Guess that of the same model at another target, but for a few points; else any between the others' accuracies."""
        same = [self.accuracy[index] for index, other in enumerate(self.candidates) if other.model == candidate.model]
        if same:
            return np.asarray(np.clip(np.mean(same) + 2 * random.standard_normal((DRAWS, 1)), 0, 100))
        low, high = (self.accuracy.min(), self.accuracy.max()) if len(self.accuracy) else (0.0, 100.0)
        return random.uniform(low, high, (DRAWS, 1))


def _cost(candidate: Candidate) -> float:
    assert candidate.manifest is not None
    return float(candidate.manifest["multiply_adds"])
