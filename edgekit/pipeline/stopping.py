"""Adding blocks of sessions until a comparison is decided: ``--until decided``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from edgekit.measure.deciding import RULE, Decision, Goal, decide, is_settled
from edgekit.measure.session import Interleaved
from edgekit.pipeline.plan import Progress
from edgekit.pipeline.recording import Recorded
from edgekit.pipeline.remaining import Remaining

SECONDS = 60.0  # per minute


class Stopping:
    """The end of measuring on one device. Its time begins when it is made.

    `recorded` are the measurements by the names under which they are compared; a failed one is left out of the decisions.
    """

    def __init__(self, goal: Goal, recorded: Mapping[str, Recorded]) -> None:
        self.goal, self.recorded = goal, recorded
        self.decisions: list[Decision] = []
        self._begun = time.monotonic()

    def extend(self, turns: Interleaved, remaining: Remaining, progress: Progress) -> None:
        """Add blocks to `turns` until everything is decided or time ends, and report what stays undecided."""
        names = list(self.recorded)
        number = turns.protocol.sessions
        while True:
            alive = [names[index] for index in sorted(turns.alive)]
            self.decisions = decide({name: self._centres(name) for name in alive}, self.goal)
            if not alive or is_settled(self.decisions) or self._is_over():
                break
            remaining.give_up(-len(alive))
            turns.block(number)
            number += 1
        for decision in self.decisions:
            progress(described(decision))

    def conditions(self, name: str) -> dict[str, Any]:
        """Return what the ledger keeps with a measurement: that its number of sessions was not fixed, and by which rule."""
        own = [decision.model_dump() for decision in self.decisions if decision.first == name]
        settled = bool(self.decisions) and is_settled(self.decisions)
        return {"optional": True, "rule": RULE, "goal": self.goal.model_dump(), "settled": settled, "decisions": own}

    def _centres(self, name: str) -> dict[int, float]:
        return {block: session.centre for block, session in self.recorded[name].sessions.items()}

    def _is_over(self) -> bool:
        return time.monotonic() - self._begun >= self.goal.max_minutes * SECONDS


def described(decision: Decision) -> str:
    """Return a decision as a sentence."""
    ends = ", ".join("unknown" if end is None else f"{end:.3f}" for end in (decision.low, decision.high))
    if decision.second is None:
        return f"{decision.first}: {decision.outcome}: [{ends}] ms after {decision.blocks} blocks."
    against = {"faster": "than", "slower": "than", "within the margin": "of"}.get(decision.outcome, "against")
    return (
        f"{decision.first}: {decision.outcome} {against} {decision.second}: "
        f"[{ends}] times its latency after {decision.blocks} blocks."
    )
