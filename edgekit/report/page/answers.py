"""What `edgekit select` answers for each device of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgekit.ledger import Ledger
from edgekit.report.filters import Filters
from edgekit.report.page.document import Answer, Budget, Device, OnFront
from edgekit.report.rows import Row
from edgekit.selection.choosing import choose
from edgekit.selection.document import SelectDocument
from edgekit.selection.question import Question
from edgekit.selection.table import REASONS

OTHER = "another measurement of this artifact counts"
"""Why a measurement takes no part although its model does: its protocol, clock or runner differs."""


def answers_of(
    ledger: Ledger, rows: Sequence[Row], devices: Sequence[Device], filters: Filters
) -> tuple[dict[str, Answer], dict[int, str]]:
    """Return the answers by the ids of their devices, and why measurements take no part, by their ids."""
    answers, excluded = dict[str, Answer](), dict[int, str]()
    for device in devices:
        document = choose(ledger, _question(rows, device, filters))
        answers[device.id] = _answer(document)
        excluded |= _excluded([row for row in rows if row.device_id == device.id], document)
    return answers, excluded


def _excluded(rows: Sequence[Row], document: SelectDocument) -> dict[int, str]:
    """Return why a device's measurements take no part."""
    taking_part = {candidate.latencies[0].measurement_id for candidate in document.candidates}
    reasons = {
        (
            exclusion.recipe,
            exclusion.variant,
            exclusion.target,
            exclusion.model_hash,
        ): f"{REASONS[exclusion.reason]}: {exclusion.message}"
        for exclusion in document.exclusions
    }
    return {
        row.measurement_id: reasons.get((row.recipe, row.variant, row.target, row.model), OTHER)
        for row in rows
        if row.measurement_id is not None and row.measurement_id not in taking_part
    }


def _question(rows: Sequence[Row], device: Device, filters: Filters) -> Question:
    """Return the question with the page's filters. Of several protocols it is about the most used one."""
    own = [row for row in rows if row.device_id == device.id]
    protocols = Counter(row.protocol for row in own)
    return Question(
        devices=(device.id,),
        recipes=tuple(filters.recipes),
        targets=tuple(sorted({row.target for row in own})) if filters.targets else (),
        protocol=max(protocols, key=lambda name: protocols[name]) if filters.protocols else None,
    )


def _answer(document: SelectDocument) -> Answer:
    measurement = {candidate.id: candidate.latencies[0].measurement_id for candidate in document.candidates}
    front = sorted(
        (candidate for candidate in document.candidates if candidate.on_front),
        key=lambda candidate: candidate.latency_ms,
    )
    step, basis = document.next_step, document.accuracy
    return Answer(
        accuracy=basis.note,
        kind=basis.kind,
        budgets=[
            Budget(low=budget.from_ms, high=budget.to_ms, id=measurement[budget.id], probability=budget.probability)
            for budget in document.budgets
        ],
        front=[OnFront(id=measurement[candidate.id], probability=candidate.p_front) for candidate in front],
        reasons=dict(Counter(REASONS[exclusion.reason] for exclusion in document.exclusions).most_common()),
        retired=len(document.retired),
        next_step=step.title if step else "",
        command=step.command if step else "",
    )
