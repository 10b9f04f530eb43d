"""Blocks are added until everything is decided, or time ends."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.measure.deciding import Goal
from edgekit.pipeline import stopping
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.stopping import Stopping


class Turns:
    """Subjects whose sessions take a known time; ``fails`` maps a subject to the block in which it fails."""

    protocol = SimpleNamespace(sessions=6)

    def __init__(self, levels, fails=()):
        self.levels, self.fails, self.random = levels, dict(fails), np.random.default_rng(0)
        self.recorded = {f"artifact {index}": SimpleNamespace(sessions={}) for index in range(len(levels))}
        self.alive, self.blocks = list(range(len(levels))), 0
        for number in range(self.protocol.sessions):
            self.block(number)

    def block(self, number):
        assert number == self.blocks  # none is skipped, none comes twice
        self.blocks += 1
        for index in list(self.alive):
            if self.fails.get(index) == number:
                self.alive.remove(index)
            else:
                centre = self.levels[index] * np.exp(0.005 * self.random.normal())
                self.recorded[f"artifact {index}"].sessions[number] = SimpleNamespace(centre=centre)


def extended(turns, goal):
    lines, remaining = [], Remaining(100)
    found = Stopping(goal, turns.recorded)
    found.extend(turns, remaining, lines.append)
    return found, lines


def test_blocks_are_added_until_all_pairs_are_decided():
    turns = Turns([10.0, 10.0, 12.0])
    found, lines = extended(turns, Goal(margin=0.03))
    assert 6 < turns.blocks < 60
    assert [decision.outcome for decision in found.decisions] == ["within the margin", "faster", "faster"]
    assert len(lines) == 3
    kept = found.conditions("artifact 0")
    assert kept["optional"] is True and kept["settled"] is True and "Ville" in kept["rule"]
    assert [decision["second"] for decision in kept["decisions"]] == ["artifact 1", "artifact 2"]
    assert all(len(own.sessions) == turns.blocks for own in turns.recorded.values())


def test_what_is_not_decided_when_time_ends_is_reported(monkeypatch):
    clock = iter(range(0, 100_000, 60))
    monkeypatch.setattr(stopping.time, "monotonic", lambda: next(clock))
    turns = Turns([10.0, 10.0])
    found, lines = extended(turns, Goal(max_latency_ms=10.0, max_minutes=20))
    assert turns.blocks == pytest.approx(6 + 20, abs=1)
    assert "undecided" in {decision.outcome for decision in found.decisions}
    assert any("undecided" in line for line in lines)
    assert found.conditions("artifact 0")["settled"] is False


def test_a_subject_that_fails_meanwhile_leaves_the_others_to_be_decided():
    turns = Turns([10.0, 12.0, 11.0], fails={2: 7})
    found, _ = extended(turns, Goal(margin=0.01))
    assert {(decision.first, decision.second) for decision in found.decisions} == {("artifact 0", "artifact 1")}


def test_one_artifact_has_nothing_to_be_compared_with():
    turns = Turns([10.0])
    found, _ = extended(turns, Goal(margin=0.01))
    assert turns.blocks == 6
    assert found.conditions("artifact 0")["settled"] is False
