"""What a run decided by ``--until decided``, and what stayed undecided."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.measure.deciding import Decision, Goal, is_settled
from edgekit.pipeline.stopping import described
from edgekit.report.rows import Row


class DecisionEntry(Decision):
    """A decision on a device. `first` and `second` are artifacts: recipe, variant and target."""

    device: str


def decisions_of(rows: Sequence[Row]) -> list[DecisionEntry]:
    """Return the decisions of a run's measured rows."""
    stopped = [(row, row.conditions["stopping"]) for row in rows if row.conditions and "stopping" in row.conditions]
    return [
        DecisionEntry(device=row.device or "", **decision) for row, found in stopped for decision in found["decisions"]
    ]


def decision_lines(rows: Sequence[Row]) -> list[str]:
    """Return what was asked and a sentence for each decision, the undecided ones first."""
    goals = {str(row.conditions["stopping"]["goal"]): row for row in rows if _asked(row) and row.conditions}
    found = sorted(decisions_of(rows), key=lambda decision: decision.outcome != "undecided")
    asked = [_goal(row, found) for row in goals.values()]
    return [*asked, *(f"{decision.device}: {described(decision)}" for decision in found)]


def _asked(row: Row) -> bool:
    return bool(row.conditions and "stopping" in row.conditions)


def _goal(row: Row, found: Sequence[Decision]) -> str:
    assert row.conditions
    state = ("all" if is_settled(found) else "not all") + " is decided" if found else "there was nothing to compare"
    goal = Goal.model_validate(row.conditions["stopping"]["goal"])
    question = f"a budget of {goal.max_latency_ms:g} ms" if goal.max_latency_ms else f"a margin of {goal.margin:.1%}"
    return f"Measured until decided, {question}, at most {goal.max_minutes:g} minutes: {state}."
