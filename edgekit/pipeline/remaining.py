"""How far a run is, and how long the rest will take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Remaining:
    """How many steps of one kind (compilations, sessions) a run has before it, at the pace of those that it has done.

    A step that costs nothing, as one from the cache, is counted and does not change the pace.
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
        """Count a step and say where the run stands."""
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
        """Take away steps that will not be made."""
        self.steps -= steps
