import json
import sys

import pytest

from edgekit.devices.host import Host
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Interleaved, Subject, run_session
from edgekit.protocol import PROTOCOLS, protocol_named


class Heard:
    """Keeps what it hears of interleaved subjects. `check` and `take` may raise errors."""

    def __init__(self, check=lambda index: None, take=lambda: None):
        self.compare, self.take = check, take
        self.sessions, self.failures = [], []

    def check(self, index):
        self.compare(index)

    def on_session(self, index, block, session):
        self.take()
        self.sessions.append((block, index))

    def on_failure(self, index, failure):
        self.failures.append((index, failure.kind))


QUICK = PROTOCOLS["emulated"].model_copy(update={"sessions": 4})


class Scripted(Host):
    """The host with a runner of our own, to play what real runners do only when something breaks."""

    def __init__(self, tmp_path, script):
        super().__init__(load_profile("host"))
        self._script = tmp_path / "runner.py"
        self._script.write_text(script)

    def subject(self, name="tflite/xnnpack/fp32"):
        return Subject(name, OwnRunner((sys.executable, str(self._script))), name, "input.bin", "output.bin")


def events(cpu, **changes):
    told = {
        "environment": {"threads": 1, "affinity": [cpu], "runtime": "scripted"},
        "load": {"ns": 5},
        "first": {"ns": 6},
        "samples": {"ns": [1, 2, 3]},
        "done": {"cpus_seen": [cpu], "threads_busy": 1},
    }
    for event, fields in changes.items():
        told[event].update(fields)
    return "\n".join(f"print({json.dumps(json.dumps({'event': name, **fields}))})" for name, fields in told.items())


@pytest.fixture
def scripted(tmp_path):
    devices = []

    def make(script):
        devices.append(Scripted(tmp_path, script))
        return devices[-1]

    yield make
    for device in devices:
        device.release()


@pytest.fixture
def cpu():
    device = Host(load_profile("host"))
    yield device.timing_cpus()[0]
    device.release()


def test_a_session_is_what_the_runner_reported(scripted, cpu):
    device = scripted("print('a library says hello')\n" + events(cpu))
    session = run_session(device, device.subject(), QUICK)
    assert (session.load_ns, session.first_ns, session.samples) == (5, 6, (1, 2, 3))
    assert session.environment["runtime"] == "scripted"


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("import time; time.sleep(60)", FailureKind.timed_out, "more than 1 s"),
        ("import sys; sys.exit('no such model')", FailureKind.crashed, "no such model"),
        ("import sys; sys.exit('ERROR: no GPU' + 3 * '\\nINFO: bye')", FailureKind.crashed, "status 1: ERROR: no GPU"),
        ("import os; os.kill(os.getpid(), 11)", FailureKind.crashed, "status -11: nothing was said"),
        ("import os; os.kill(os.getpid(), 9)", FailureKind.out_of_memory, "status -9"),
        (
            """print('{"event": "error", "message": "the last words"}'); raise SystemExit(1)""",
            FailureKind.crashed,
            "the last words",
        ),
        ("""print('{"event": "load", "ns"')""", FailureKind.crashed, "status 0: nothing was said"),
    ],
)
def test_a_runner_that_breaks_has_its_kind_and_its_last_words(scripted, script, kind, said):
    device = scripted(script)
    with pytest.raises(EdgekitError) as raised:
        run_session(device, device.subject(), QUICK.model_copy(update={"session_timeout": 1}))
    assert raised.value.failure.kind == kind
    assert said in raised.value.failure.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"environment": {"threads": 2}}, "2 threads instead of 1"),
        ({"environment": {"affinity": [98, 99]}}, "allowed on CPUs [98, 99]"),
        ({"done": {"cpus_seen": [98]}}, "ran on CPUs [98]"),
        ({"done": {"threads_busy": 4}}, "4 threads did the work instead of 1"),
    ],
)
def test_conditions_that_were_not_met_are_a_failure(scripted, cpu, changes, said):
    device = scripted(events(cpu, **changes))
    with pytest.raises(EdgekitError) as raised:
        run_session(device, device.subject(), QUICK)
    assert raised.value.failure.kind == FailureKind.unverified
    assert said in raised.value.failure.message


def test_subjects_take_turns_in_an_order_that_the_seed_gives(scripted, cpu):
    device = scripted(events(cpu))
    subjects = {index: device.subject(name) for index, name in enumerate("abc")}

    def order(seed):
        heard = Heard()
        Interleaved(device, subjects, QUICK, seed, heard).run()
        assert not heard.failures
        return heard.sessions

    one = order(0)
    assert one == order(0) != order(3)
    for block in range(QUICK.sessions):
        assert sorted(index for b, index in one if b == block) == [0, 1, 2]
    assert [block for block, _ in one] == sorted(block for block, _ in one)


def test_a_subject_that_fails_leaves_and_the_others_go_on(scripted, cpu):
    device = scripted("import sys\nif 'bad' in sys.argv: sys.exit('broken')\n" + events(cpu))
    subjects = {index: device.subject(name) for index, name in enumerate(("good", "bad", "fine"))}
    heard = Heard()
    Interleaved(device, subjects, QUICK, 0, heard).run()
    assert heard.failures == [(1, FailureKind.crashed)]
    assert sorted(index for _, index in heard.sessions) == [0] * QUICK.sessions + [2] * QUICK.sessions


def test_a_session_that_cannot_be_recorded_is_not_the_subjects_failure(scripted, cpu):
    def refuse():
        raise EdgekitError(FailureKind.ledger, "ledger", "The ledger is locked.")

    device = scripted(events(cpu))
    with pytest.raises(EdgekitError, match="is locked"):
        Interleaved(device, {0: device.subject()}, QUICK, 0, Heard(take=refuse)).run()


def test_outputs_are_written_and_compared_in_the_first_session_only(scripted, cpu):
    device = scripted(events(cpu))
    seen = []

    def check(index):
        seen.append(index)
        if index == 1:
            raise EdgekitError(FailureKind.parity, "measure", "It computes something else.")

    heard = Heard(check)
    subjects = {index: device.subject(str(index)) for index in range(2)}
    turns = Interleaved(device, subjects, QUICK, 0, heard)
    turns.run()
    assert sorted(seen) == [0, 1]
    assert heard.failures == [(1, FailureKind.parity)]
    assert heard.sessions == [
        (block, 0) for block in range(QUICK.sessions)
    ]  # no latency of the wrong model is reported
    turns.block(1)
    assert heard.sessions[-1] == (1, 0)
    assert sorted(seen) == [0, 1]


def test_an_unknown_protocol_names_the_known_ones():
    with pytest.raises(EdgekitError, match="no protocol named slow") as raised:
        protocol_named("slow")
    assert "1t-big" in raised.value.failure.hint
