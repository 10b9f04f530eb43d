"""Are the answers of `select` as sure as they say? Synthetic ledgers of varied noise, each with a known truth.

Each ledger is written as edgekit writes its own, and asked once. An answer given with a probability of at least 95 % is right if
it is the model that the same rule chooses from the true latencies and accuracies of the models that take part. Also: how often
the intervals of latencies cover the truth, and how often a model to retire really is dominated.

python benchmarks/selection.py [LEDGERS] [SEED] writes benchmarks/selection.md; about ten minutes for 1000.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from edgekit.ledger import Ledger
from edgekit.selection.choosing import choose
from edgekit.selection.deciding import NO_WINNER, SURE, on_front, winners
from edgekit.selection.document import CandidateEntry, SelectDocument
from edgekit.selection.posterior import Draws
from edgekit.selection.question import Question

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.synthetic_ledger import TARGETS, Spec, Truth, make_truth, write  # noqa: E402

DEFAULT_LEDGERS = 1000
BANDS = (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass
class Tally:
    """What came out: answers by what they are about, (right, all)."""

    counts: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def add(self, name: str, right: bool) -> None:
        """Count one answer."""
        self.counts[name, right] += 1

    def share(self, name: str) -> tuple[int, int]:
        """Return how many were right, and how many there are."""
        right = self.counts[name, True]
        return right, right + self.counts[name, False]


def varied(number: int, seed: int) -> tuple[Spec, Question]:
    """Return what to write and what to ask for the ledger of a number.

    Few or many models, sessions and photos; more or less noise. The budget is near the true latency of one of the models.
    """
    random = np.random.default_rng([seed, number])
    devices = int(random.integers(1, 3))
    spec = Spec(
        recipes=int(random.integers(3, 16)),
        targets=TARGETS[: int(random.integers(1, 4))],
        devices=devices,
        sessions=int(random.choice([3, 4, 6, 6, 9, 12])),
        samples=int(random.integers(10, 40)),
        between=float(np.exp(random.uniform(np.log(0.002), np.log(0.05)))),
        within=float(np.exp(random.uniform(np.log(0.01), np.log(0.1)))),
        interfered=float(random.choice([0.0, 0.0, 0.05, 0.15])),
        photos=int(np.exp(random.uniform(np.log(300), np.log(50_000)))),
        failures=float(random.choice([0.0, 0.1])),
        seed=int(random.integers(2**31)),
    )
    truth = make_truth(spec)
    recipe, target, _ = list(truth.latency_ms)[int(random.integers(len(truth.latency_ms)))]
    names = tuple(f"device{index}" for index in range(devices))
    near = max(truth.latency_ms[recipe, target, name] for name in names)
    question = Question(
        devices=names,
        max_latency_ms=float(near * np.exp(random.normal(0, 0.05))),
        min_accuracy=float(random.choice([60, 70])) if random.random() < 0.3 else None,
        equal_within=float(random.choice([0.0, 0.5, 1.0])),
        seed=number,
    )
    return spec, question


def ask(number: int, seed: int, template: Path) -> tuple[Tally, int]:
    """Write one ledger, ask it, and compare with the truth; also return how many models take part."""
    spec, question = varied(number, seed)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, f"{folder}/ledger.sqlite")
        with Ledger.open(f"sqlite:///{folder}/ledger.sqlite") as ledger:
            truth = write(ledger, spec)
            document = choose(ledger, question)
    tally = Tally()
    if document.candidates:
        judge(document, truth, question, tally)
    return tally, len(document.candidates)


def judge(document: SelectDocument, truth: Truth, question: Question, tally: Tally) -> None:
    models, devices = document.candidates, question.devices
    latency = np.array([[[truth.latency_ms[one.recipe, one.target, name] for name in devices] for one in models]])
    accuracy = np.array([[truth.accuracy[one.recipe, one.target] for one in models]])
    real = Draws(latency, accuracy)
    best = int(winners(real, question, question.max_latency_ms)[0])
    answer = document.answer
    said = NO_WINNER if answer.winner is None else answer.winner
    right = said == best
    tally.add(f"{max(band for band in (0.0, *BANDS[:-1]) if answer.probability >= band):.2f}", right)
    if answer.probability >= SURE:
        tally.add("sure", right)
        tally.add("sure, a model" if said != NO_WINNER else "sure, none fits", right)
        tally.add(
            "sure, 3 or 4 sessions" if len(sessions(models)) and min(sessions(models)) < 6 else "sure, 6 or more", right
        )
    tally.add(
        "truth among the tied", best in {one.id for one in answer.tied} or (best == NO_WINNER and answer.p_none > 0.05)
    )
    front = on_front(real.slowest, accuracy)[0]
    for retired in document.retired:
        tally.add("retired", not front[retired.id])
    for index, one in enumerate(models):
        for layer, entry in enumerate(one.latencies):
            low, high = entry.interval_ms
            tally.add(f"interval, {entry.sessions} sessions", bool(low <= latency[0, index, layer] <= high))


def sessions(models: list[CandidateEntry]) -> list[int]:
    return [entry.sessions for one in models for entry in one.latencies]


def run(ledgers: int, seed: int, jobs: int = 2) -> Tally:
    """Ask as many ledgers and return what came out of all."""
    total = Tally()
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.sqlite"
        Ledger.open(f"sqlite:///{template}").close()
        work = partial(ask, seed=seed, template=template)
        if jobs == 1:
            found = list(map(work, range(ledgers)))
        else:
            with ProcessPoolExecutor(jobs) as pool:
                found = list(pool.map(work, range(ledgers), chunksize=5))
    for tally, models in found:
        total.counts.update(tally.counts)
        total.add("takes part", models > 0)
    return total


def page(tally: Tally, ledgers: int, seed: int, seconds: float) -> str:
    def row(name: str, label: str) -> str:
        right, count = tally.share(name)
        share = f"{right / count:.1%}" if count else "none"
        return f"| {label} | {count} | {right} | {share} |"

    bands = [row(f"{low:.2f}", f"{low:.2f} to {high:.2f}") for low, high in zip((0.0, *BANDS), BANDS, strict=False)]
    intervals = [row(f"interval, {count} sessions", f"{count} sessions") for count in (3, 4, 6, 9, 12)]
    return f"""# How sure the answers of select are

Made by `python benchmarks/selection.py {ledgers} {seed}` in {seconds:.0f} s.
{ledgers} synthetic ledgers (tests/synthetic_ledger.py), each asked once.
In {tally.share("takes part")[0]} of them some model takes part.

Varied at random: 3 to 15 recipes, 1 to 3 targets, 1 or 2 devices, 3 to 12 sessions, 300 to 50,000 photos.
The budget is near the true latency of one of the models (5 %).
Sessions differ by 0.2 to 5 % (in single cells up to three times as much), samples by 1 to 10 %.
In half of the ledgers 5 or 15 % of the sessions are 10 to 30 % slower.
An answer is right if the same rule chooses the same model from the true values of the models that take part.

| answers | number | right | share |
| --- | --- | --- | --- |
{row("sure", "**given with P >= 0.95** (goal: 93 %)")}
{row("sure, a model", "of these: a model")}
{row("sure, none fits", "of these: no model is within the limits")}
{row("sure, 3 or 4 sessions", "of these: 3 or 4 sessions")}
{row("sure, 6 or more", "of these: 6 sessions or more")}
{row("truth among the tied", "the right one is among the tied (P >= 0.95 together)")}
{row("retired", "models to retire that really are dominated")}

## By the probability that was given

| P of the answer | answers | right | share |
| --- | --- | --- | --- |
{chr(10).join(bands)}

## Coverage of the 95 % intervals of latencies

Interfered sessions are part of it, so few sessions cover less than the goal.

| interval from | intervals | cover the truth | share |
| --- | --- | --- | --- |
{chr(10).join(intervals)}
"""


def main() -> None:
    ledgers = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_LEDGERS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    start = time.monotonic()
    tally = run(ledgers, seed)
    (ROOT / "benchmarks" / "selection.md").write_text(page(tally, ledgers, seed, time.monotonic() - start))


if __name__ == "__main__":
    main()
