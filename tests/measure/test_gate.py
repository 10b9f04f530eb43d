import pytest

from edgekit.devices.host import Host
from edgekit.devices.profile import load_profile
from edgekit.devices.thermal import Sensor, thermal_state
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure import gate


class Warm(Host):
    """The host with a thermometer of our own."""

    def __init__(self, states, limit):
        super().__init__(load_profile("host").model_copy(update={"max_temperature_c": limit}))
        self.states = states

    def state(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


HOT = thermal_state([Sensor("skin", "VIRTUAL-SKIN", 38.5), Sensor("cpu", "BIG", 60.0), Sensor("cpu", "LITTLE", 50.0)])


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(gate, "POLL_SECONDS", 0.01)


def test_a_device_that_cools_down_is_waited_for():
    device = Warm([{"temperature_c": 60.0}, {"temperature_c": 50.0}, {"temperature_c": 40.0}], 45)
    gate.wait_until_cool(device)
    assert len(device.states) == 1


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"temperature_c": 60.0}, "60.0 degrees, and"),
        ({"temperature_c": 20.0, "thermal_status": 3}, "thermal status is 3"),
        (HOT, r"60.0 degrees at BIG \(cpu\), and the limit is 45.0"),
    ],
)
def test_a_device_that_stays_hot_is_given_up_in_time(state, said, monkeypatch):
    monkeypatch.setattr(gate, "GATE_SECONDS", 0.1)
    with pytest.raises(EdgekitError, match=said) as raised:
        gate.wait_until_cool(Warm([state], 45))
    assert raised.value.failure.kind == FailureKind.thermal_gate_timeout
    assert raised.value.failure.retriable


@pytest.mark.parametrize(
    ("state", "limit"),
    [
        ({"temperature_c": "unknown"}, 45),
        (HOT, {"skin": 40, "battery": 30}),
        ({"temperature_c": 90.0}, {"skin": 40}),
        ({"temperature_c": 90.0}, None),
        ({"temperature_c": 44.9, "thermal_status": 1}, 45),
    ],
)
def test_an_unknown_temperature_or_one_under_the_limit_does_not_wait(state, limit, monkeypatch):
    waits = []
    monkeypatch.setattr(gate.time, "sleep", waits.append)
    monkeypatch.setattr(gate, "GATE_SECONDS", 0.1)
    gate.wait_until_cool(Warm([state], limit))
    assert waits == []


def test_a_limit_of_a_type_holds_for_sensors_of_this_type(monkeypatch):
    monkeypatch.setattr(gate, "GATE_SECONDS", 0.1)
    with pytest.raises(EdgekitError, match=r"38.5 degrees at VIRTUAL-SKIN \(skin\), and the limit for skin is 37.0"):
        gate.wait_until_cool(Warm([HOT], {"cpu": 65.0, "skin": 37.0}))
