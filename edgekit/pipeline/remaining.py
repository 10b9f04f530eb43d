"""How far a run is, and how long the rest will take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Remaining:
    """The remaining steps of one kind (compilations, sessions), and the time that they need at the pace so far.

    A step without cost, such as one from the cache, is counted but does not change the pace.
    """

    steps: int
    done: int = 0
    paced: int = 0
    seconds: float = 0.0
    last: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Say that time counts from now: what happened before belongs to no step."""
        self.last = time.monotonic()

    def step(self, costs: bool = True) -> str:
        """Count a step and return the state of the run."""
        now = time.monotonic()
        self.done += 1
        if costs:
            self.paced += 1
            self.seconds += now - self.last
        self.last = now
        left = self.seconds / self.paced * (self.steps - self.done) if self.paced else 0.0
        remaining = f", {left / 60:.0f} min left" if left >= 60 else ""
        return f"[{self.done}/{self.steps}{remaining}]"

    def give_up(self, steps: int) -> None:
        """Remove steps that will not be done."""
        self.steps -= steps
