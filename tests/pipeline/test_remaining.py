import pytest

from edgekit.pipeline import remaining as module
from edgekit.pipeline.remaining import Remaining


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_the_pace_of_the_steps_that_cost_something(clock):
    remaining = Remaining(5)
    clock[0] = 1000.0
    remaining.begin()
    assert remaining.step(costs=False) == "[1/5]"
    clock[0] = 1060.0
    assert remaining.step() == "[2/5, 3 min left]"
    remaining.give_up(2)
    clock[0] = 1061.0
    assert remaining.step() == "[3/3]"


def test_less_than_a_minute_is_not_told(clock):
    remaining = Remaining(2)
    clock[0] = 59.0
    assert remaining.step() == "[1/2]"
