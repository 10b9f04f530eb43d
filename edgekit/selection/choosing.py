"""From a ledger and a question to the answer with everything that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edgekit.ledger import Ledger
from edgekit.selection import rewards
from edgekit.selection.accuracies import Basis, add_accuracies
from edgekit.selection.advice import Step, best_step
from edgekit.selection.candidates import Candidate, Field, gather
from edgekit.selection.deciding import (
    SURE,
    Winners,
    budget_spans,
    on_front,
    probabilities,
    winners,
    within_limits,
)
from edgekit.selection.document import (
    AccuracyBasis,
    AccuracyEntry,
    Agreement,
    Answer,
    BudgetEntry,
    CandidateEntry,
    Choice,
    DeviceEntry,
    Exclusion,
    LatencyEntry,
    NextStep,
    Retired,
    RewardEntry,
    RewardSpan,
    RunnerUp,
    SelectDocument,
    Spread,
)
from edgekit.selection.posterior import DRAWS, Array, Draws, draw, percentile_factor
from edgekit.selection.question import Question, objective

Front = NDArray[np.bool_]
"""Which candidates (columns) are on the Pareto front in which draws (rows)."""
UNLIKELY = 0.002
"""Below this probability of being on the front, a model is not looked at for the budgets."""
MIN_MODELS = 3
"""For Kendall's tau: two models are ordered alike or not, which says nothing."""


def choose(ledger: Ledger, question: Question) -> SelectDocument:
    """Answer a question from a ledger.

    UsageError if a device is unknown, if nothing was measured on it, or if the question contradicts itself. If models were
    measured but none takes part, the document says why, and nothing is decided.
    """
    question.check()
    field = gather(ledger, question)
    devices = [device.id for device in field.devices]
    basis = add_accuracies(field.candidates, field.excluded, ledger.accuracies(), devices, question.accuracy)
    candidates = [candidate for candidate in field.candidates if not candidate.problems]
    excluded = [*field.excluded, *(candidate for candidate in field.candidates if candidate.problems)]
    draws = draw(candidates, devices, question.percentile, question.seed)
    return _document(field, basis, candidates, excluded, draws, question)


def _document(
    field: Field,
    basis: Basis,
    candidates: Sequence[Candidate],
    excluded: Sequence[Candidate],
    draws: Draws,
    question: Question,
) -> SelectDocument:
    devices = [device.id for device in field.devices]
    found = winners(draws, question, question.max_latency_ms)
    front = on_front(draws.slowest, draws.accuracy)
    accuracy, latency = _values(candidates, devices, question)
    possible = np.flatnonzero(front.mean(axis=0) > UNLIKELY)  # a winner is always on the front
    step = best_step(candidates, excluded, draws, found, question, devices)
    ranked = [rewards.rank(accuracy, latency, draws, w) for w in rewards.EXPONENTS] if candidates else []
    spans = rewards.spans(accuracy, latency) if candidates else []
    budgets = [] if question.fastest else budget_spans(draws.of(possible), question)
    return SelectDocument(
        question=question,
        objective=objective(question),
        devices=_devices(field),
        accuracy=AccuracyBasis(**vars(basis)),
        answer=_answer(draws, found, question),
        candidates=_candidates(candidates, draws, found, front, question, devices),
        budgets=[
            BudgetEntry(
                from_ms=budget.low, to_ms=budget.high, id=int(possible[budget.winner]), probability=budget.probability
            )
            for budget in budgets
        ],
        retired=_retired(draws, front),
        rewards=[
            RewardEntry(w=reward.w, winner=reward.order[0], probability=reward.probability, ranking=reward.order)
            for reward in ranked
        ],
        reward_spans=[RewardSpan(from_w=span.low, to_w=span.high, id=span.best) for span in spans],
        agreement=_agreement(field, candidates, question),
        exclusions=[_exclusion(candidate) for candidate in excluded],
        next_step=_next_step(step, field) if step else None,
        draws=DRAWS,
    )


def _values(candidates: Sequence[Candidate], devices: Sequence[str], question: Question) -> tuple[Array, Array]:
    """Return each candidate's accuracy in percent and its latency on its slowest device in ms, as they were found."""
    accuracy = np.array([candidate.accuracy.value for candidate in candidates if candidate.accuracy])
    latency = np.array([max(_latency(candidate, device, question) for device in devices) for candidate in candidates])
    return accuracy, latency


def _latency(candidate: Candidate, device: str, question: Question) -> float:
    summary = candidate.timings[device].summary
    assert summary is not None
    return float(summary["median"] * percentile_factor(candidate, device, question.percentile))


def _devices(field: Field) -> list[DeviceEntry]:
    return [
        DeviceEntry(
            name=device.name,
            device_id=device.id,
            model=str(device.info.get("model", "unknown")),
            os_build=str(device.info.get("os_build", "unknown")),
            protocol=field.conditions[device.id].protocol,
            clock=field.conditions[device.id].clock,
        )
        for device in field.devices
    ]


def _answer(draws: Draws, found: Winners, question: Question) -> Answer:
    count = draws.accuracy.shape[1]
    shares = probabilities(found, count)
    likeliest = int(shares.argmax())
    order = [int(index) for index in np.argsort(-shares[:-1], kind="stable")]
    enough = int(np.searchsorted(np.cumsum(shares[order]), SURE)) + 1
    winner = likeliest if likeliest < count else None
    return Answer(
        decided=winner is not None and bool(shares[winner] >= SURE),
        winner=winner,
        probability=float(shares[likeliest]),
        tied=[Choice(id=index, probability=float(shares[index])) for index in order[:enough] if shares[index] > 0],
        p_none=float(shares[-1]),
        runner_up=None if winner is None else _runner_up(draws, winner, question),
    )


def _runner_up(draws: Draws, winner: int, question: Question) -> RunnerUp | None:
    """Return who would win without the winner; None if it is likelier that no model would."""
    others = np.delete(np.arange(draws.accuracy.shape[1]), winner)
    shares = probabilities(winners(draws.of(others), question, question.max_latency_ms), len(others))
    likeliest = int(shares.argmax())
    if likeliest == len(others):
        return None
    second = int(others[likeliest])
    everyone = probabilities(winners(draws, question, question.max_latency_ms), draws.accuracy.shape[1])
    slowest = draws.slowest
    return RunnerUp(
        id=second,
        probability=float(everyone[second]),
        accuracy_points=_spread(draws.accuracy[:, winner] - draws.accuracy[:, second]),
        latency_ratio=_spread(slowest[:, winner] / slowest[:, second]),
    )


def _spread(values: Array) -> Spread:
    low, middle, high = np.quantile(values, (0.025, 0.5, 0.975))
    return Spread(value=float(middle), interval=(float(low), float(high)))


def _candidates(
    candidates: Sequence[Candidate],
    draws: Draws,
    found: Winners,
    front: Front,
    question: Question,
    devices: Sequence[str],
) -> list[CandidateEntry]:
    accuracy, latency = _values(candidates, devices, question)
    shares = probabilities(found, len(candidates))
    within = within_limits(draws, question, question.max_latency_ms).mean(axis=0)
    on_front_now = on_front(latency[None], accuracy[None])[0] if candidates else []
    names = [(candidate.recipe, candidate.variant, candidate.target) for candidate in candidates]
    entries = []
    for index, candidate in enumerate(candidates):
        assert candidate.manifest and candidate.accuracy and candidate.sha256
        shared = names.count(names[index]) > 1
        title = f"{candidate.recipe} #{candidate.model}" if shared else candidate.recipe
        entries.append(
            CandidateEntry(
                id=index,
                recipe=candidate.recipe,
                variant=candidate.variant,
                model_hash=candidate.model,
                target=candidate.target,
                artifact_sha256=candidate.sha256,
                title=f"{title} {candidate.variant} {candidate.target}"
                + (f" {candidate.sha256[:8]}" if shared else ""),
                weights=candidate.manifest["weights"],
                size_bytes=candidate.manifest["size_bytes"],
                memory_bytes=candidate.memory_bytes,
                multiply_adds=candidate.manifest["multiply_adds"],
                parameters=candidate.manifest["parameters"],
                accuracy=AccuracyEntry(
                    value=candidate.accuracy.value,
                    interval=candidate.accuracy.interval,
                    kind=candidate.accuracy.kind,
                    photos=candidate.accuracy.n,
                ),
                latencies=[
                    _latency_entry(candidate, device, draws.latency[:, index, layer], question)
                    for layer, device in enumerate(devices)
                ],
                latency_ms=float(latency[index]),
                on_front=bool(on_front_now[index]),
                p_front=float(front[:, index].mean()),
                p_within=float(within[index]),
                p_best=float(shares[index]),
            )
        )
    return entries


def _latency_entry(candidate: Candidate, device: str, draws: Array, question: Question) -> LatencyEntry:
    timing = candidate.timings[device]
    return LatencyEntry(
        device_id=device,
        measurement_id=timing.id,
        value_ms=_latency(candidate, device, question),
        interval_ms=_spread(draws).interval,
        sessions=len(candidate.centres[device]),
        verdict=timing.verdict or "",
    )


def _retired(draws: Draws, front: Front) -> list[Retired]:
    """Return what is off the front with enough probability, and the model on it that most often is better."""
    dominated = 1 - front.mean(axis=0)
    better_ones = np.flatnonzero(dominated < SURE)
    few = draws.first(DRAWS // 4)
    slowest, accuracy = few.slowest, few.accuracy
    found = []
    for index in np.flatnonzero(dominated >= SURE):
        faster = slowest[:, better_ones] <= slowest[:, [index]]
        shares = (faster & (accuracy[:, better_ones] >= accuracy[:, [index]])).mean(axis=0)
        by, p_by = int(better_ones[shares.argmax()]), float(shares.max())
        found.append(Retired(id=int(index), probability=float(dominated[index]), by=by, p_by=p_by))
    return found


def _agreement(field: Field, candidates: Sequence[Candidate], question: Question) -> list[Agreement]:
    found = []
    for one, other in combinations(field.devices, 2):
        tau = p_value = None
        if len(candidates) >= MIN_MODELS:
            from scipy.stats import kendalltau

            result = kendalltau(
                *([_latency(own, device.id, question) for own in candidates] for device in (one, other))
            )
            tau, p_value = float(result.statistic), float(result.pvalue)
        found.append(
            Agreement(device_a=one.name, device_b=other.name, tau=tau, p_value=p_value, models=len(candidates))
        )
    return found


def _exclusion(candidate: Candidate) -> Exclusion:
    problem = candidate.problems[0]
    return Exclusion(
        recipe=candidate.recipe,
        variant=candidate.variant,
        target=candidate.target,
        model_hash=candidate.model or None,
        device_id=problem.device,
        reason=problem.reason,
        message=problem.message,
        hint=problem.hint,
    )


def _next_step(step: Step, field: Field) -> NextStep:
    candidate, names = step.candidate, {device.id: device.name for device in field.devices}
    device = names[step.device] if step.device else None
    if step.what == "time":
        command = f"edgekit profile --recipe {candidate.recipe} --target {candidate.target} --device {device}"
    else:
        command = f"edgekit evaluate {candidate.recipe} --target {candidate.target} --data DIR"
    return NextStep(
        what=step.what,
        title=f"{candidate.recipe} {candidate.variant} {candidate.target}",
        device=device,
        probability=step.probability,
        guessed=step.guessed,
        command=command,
    )
