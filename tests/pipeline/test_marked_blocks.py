"""A marked block is repeated for all artifacts, replaces what it repeats, and stays known."""

from datetime import UTC, datetime

import pytest

from edgekit.measure.session import Session
from edgekit.pipeline import measuring
from edgekit.pipeline.recording import Recorded, Recorder


class Ledger:
    def __init__(self):
        self.sessions = {}

    def add_session(self, id, block, *, replace, samples, environment, **_):
        assert replace == ((id, block) in self.sessions)
        self.sessions[id, block] = samples


def session(disturbed, latency=1_000_000):
    environment = {
        "runner": "native",
        "threads": 1,
        "wall_ns": 100,
        "cpu_ns": 50 if disturbed else 99,
        "reference_ns": [100] * 10,
    }
    return Session(1, 1, (latency,) * 50, environment, datetime.now(UTC))


class Turns:
    """Two artifacts; `disturbed` are how often each block of the first one is disturbed."""

    class device:
        class profile:
            name = "lab"

    def __init__(self, recorder, disturbed):
        self.recorder, self.disturbed, self.alive, self.blocks = recorder, dict(disturbed), [0, 1], []

    def block(self, number):
        self.blocks.append(number)
        left = self.disturbed.get(number, 0)
        self.disturbed[number] = left - 1
        for index in self.alive:
            self.recorder.on_session(index, number, session(left > 0 and index == 0, 1_000_000 * len(self.blocks)))


class Quiet:
    lines = ()

    def progress(self, line):
        self.lines = (*self.lines, line)

    def give_up(self, steps):
        pass


@pytest.fixture
def recorder():
    return Recorder(Ledger(), [Recorded(1), Recorded(2)], print, lambda *_: None, lambda *_: None, 6)


def measured(recorder, disturbed, most):
    turns, quiet = Turns(recorder, disturbed), Quiet()
    for block in range(6):
        turns.block(block)
    del turns.blocks[:]
    measuring._repeat(turns, recorder, most, quiet, quiet)
    return turns.blocks, quiet.lines


def test_a_disturbed_block_is_repeated_for_every_artifact_and_replaced(recorder):
    blocks, lines = measured(recorder, {2: 1}, 5)
    assert blocks == [2]
    assert lines == ("lab: block 3 was disturbed and is repeated",)
    assert recorder.marked_blocks() == []
    for one in recorder.measurements:
        assert sorted(one.sessions) == list(range(6))
        assert [block for block, _ in one.replaced] == [2]
        assert one.sessions[2].samples != one.replaced[0][1].samples == (3_000_000,) * 50
        assert recorder.ledger.sessions[one.id, 2] == one.sessions[2].samples


def test_no_more_blocks_are_repeated_than_allowed_and_those_first_that_were_repeated_least(recorder):
    blocks, _ = measured(recorder, {1: 9, 4: 9}, 3)
    assert blocks == [1, 4, 1]
    assert recorder.marked_blocks() == [1, 4]
    assert [mark.block for mark in recorder.marks(0)] == [1, 4]
    assert recorder.marks(1) == []


def test_without_the_option_nothing_is_repeated_and_a_failed_artifact_marks_nothing(recorder):
    assert measured(recorder, {1: 9}, 0)[0] == []
    recorder.discard(0, None)
    assert recorder.marked_blocks() == []


def test_a_failure_after_the_protocols_sessions_ends_a_measurement_and_discards_nothing(recorder):
    measured(recorder, {}, 0)
    recorder.on_failure(0, "lost")
    assert (recorder.gone, recorder.ended_early) == (set(), {0: "lost"})
    del recorder.measurements[1].sessions[5]
    recorder.on_failure(1, "lost")
    assert (recorder.gone, recorder.ended_early) == ({1}, {0: "lost"})
