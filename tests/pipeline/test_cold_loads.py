"""What a cold load is, and when it is unknown. Real files: tests/runners/test_circumstances.py."""

import json

import pytest

from edgekit.devices.base import Completed
from edgekit.devices.profile import load_profile
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Subject
from edgekit.pipeline.load_pass import cold_loads
from edgekit.protocol import PROTOCOLS

PROTOCOL = PROTOCOLS["quick"].model_copy(update={"cold_loads": 3})


class Answers:
    """A device whose runner says that so much of the file is in the page cache."""

    profile = load_profile("host")

    def __init__(self, cached, status=0):
        self.cached, self.status, self.commands = cached, status, []

    def timing_cpus(self, threads, cores):
        return (1,)

    def run(self, arguments, timeout):
        self.commands.append(arguments)
        load = {"event": "load", "ns": 1_000_000 * len(self.commands), "cached_per_mille": self.cached}
        return Completed(self.status, json.dumps(load), "it broke")


SUBJECT = Subject("tflite/xnnpack/fp32", OwnRunner(("runner",)), "model", "input", "output")


def test_the_median_of_fresh_processes_is_reported_with_what_its_interval_holds():
    device = Answers(0)
    assert cold_loads(device, SUBJECT, PROTOCOL) == {
        "median_ms": 2.0,
        "interval_ms": (1.0, 3.0),
        "confidence": 0.75,
        "loads": 3,
        "cached_per_mille": 0,
    }
    assert all("--cold" in command and command[command.index("--iterations") + 1] == "0" for command in device.commands)


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        (Answers(730), "73 % of the file stayed in the page cache"),
        (Answers(None), "the runner cannot see how much"),
        (Answers(0, status=1), "the runner ended with status 1"),
    ],
)
def test_a_load_that_was_not_cold_has_no_time_and_a_reason(device, reason):
    found = cold_loads(device, SUBJECT, PROTOCOL)
    assert "median_ms" not in found
    assert reason in found["unknown"]
