"""Two sides, compared cell by cell: what differs, what is refused, and what a gate says."""

import json

import jsonschema
import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.comparison.comparing import diff, exit_code
from edgekit.comparison.gate import gate_of
from edgekit.devices.android import parse_battery
from edgekit.errors import ExitCode, UsageError
from edgekit.ledger import Ledger
from edgekit.schemas import committed
from tests.selection.selection_ledger import Laboratory


class Sides(Laboratory):
    """Records results of which each is a run, and compares two of them."""

    url: str

    def timed(self, milliseconds, **changes):
        self.measure("net", milliseconds, **{"spread": 0.01, **changes})
        return self.run

    def failed(self):
        self.begin()
        self.fail("net")
        return self.run

    def cell(self, first, second, **asked):
        (cell,) = diff(first, second, self.url, **asked).cells
        return cell


@pytest.fixture
def sides(tmp_path):
    url = f"sqlite:///{tmp_path}/sides.sqlite"
    with Ledger.open(url) as ledger:
        found = Sides(ledger)
        found.url = url
        yield found


@pytest.mark.parametrize(
    ("milliseconds", "outcome"), [(10.0, "no difference shown"), (11.0, "slower"), (9.0, "faster")]
)
def test_a_cell_is_faster_slower_or_neither(sides, milliseconds, outcome):
    cell = sides.cell(sides.timed(10.0), sides.timed(milliseconds))
    assert cell.outcome == outcome
    assert cell.ratio.value == pytest.approx(milliseconds / 10, rel=0.01)
    assert cell.latency_ms == pytest.approx((10, milliseconds), rel=0.01)
    assert cell.sessions == (6, 6)


@pytest.mark.parametrize(
    ("condition", "other"),
    [
        ("runtime_version", {"runtime_version": "2.0"}),
        ("runner", {"runner": "native"}),
        ("os_build", {"os_build": "Android 16"}),
        ("clock", {"before": {"clock_rung": "fixed"}}),
        ("nvpmodel", {"before": {"clock_rung": "free", "nvpmodel": {"name": "15W", "id": 0}}}),
        ("jetson_clocks", {"before": {"clock_rung": "free", "jetson_clocks": "on"}}),
        (
            "gpu_clock",
            {"before": {"clock_rung": "free", "clocks": {"gpu": {"min_hz": 306_000_000, "max_hz": 918_000_000}}}},
        ),
        ("cpu", {"affinity": [7]}),
        ("plugged", {"before": {"clock_rung": "free", "battery": parse_battery("  USB powered: true\n  status: 2\n")}}),
        ("emulated", {"emulated": True}),
    ],
)
def test_latencies_are_not_compared_across_a_condition_that_differs(sides, condition, other):
    first, second = sides.timed(10.0), sides.timed(20.0, conditions=other)
    cell = sides.cell(first, second)
    assert cell.outcome == "not comparable"
    assert cell.ratio is None
    assert [reason.partition(" ")[0] for reason in cell.reasons] == [condition]
    assert list(cell.conditions) == [condition]
    assert sides.cell(first, second, across=["threads"]).outcome == "not comparable"
    for across in ([condition], ["all"]):
        allowed = sides.cell(first, second, across=across)
        assert allowed.outcome == "slower"
        assert list(allowed.conditions) == [condition]


def test_another_device_of_the_same_profile_is_another_condition(sides):
    first, second = sides.timed(10.0), sides.timed(20.0, identity="f" * 16)
    cell = sides.cell(first, second)
    assert cell.outcome == "not comparable"
    assert list(cell.conditions) == ["device_id"]


def test_another_network_is_never_compared(sides):
    first, second = sides.timed(10.0), sides.timed(20.0, model={"width": 0.5, "resolution": 224, "classes": 1000})
    cell = sides.cell(first, second, across=["all"])
    assert cell.outcome == "not comparable"
    assert cell.reasons[0].startswith("another network: ")


def test_other_weights_are_named_and_never_compared(sides):
    seeds = [sides.timed(10.0, weights=f"random({seed})", weights_sha256=None) for seed in (0, 1)]
    assert sides.cell(*seeds, across=["all"]).reasons == ["other weights: random(0) and random(1)"]
    files = [sides.timed(10.0, weights="net.pth", weights_sha256=digit * 64) for digit in "01"]
    (reason,) = sides.cell(*files, across=["all"]).reasons
    assert reason.startswith("other weights: net.pth ")
    one, other = reason.removeprefix("other weights: ").split(" and ")
    assert one != other


def test_a_side_without_an_artifact_was_not_built_with_something_unknown(sides):
    assert sides.cell(sides.timed(10.0), sides.failed()).built_with == {}


def test_what_stopped_and_what_started_working(sides):
    works, fails = sides.timed(10.0), sides.failed()
    assert sides.cell(works, fails).outcome == "stopped working"
    assert sides.cell(works, fails).reasons == ["It crashed."]
    assert sides.cell(fails, works).outcome == "started working"
    assert sides.cell(fails, fails).outcome == "fails on both sides"


def test_size_and_accuracy_of_another_artifact(sides):
    first = sides.timed(10.0, accuracy=80.0)
    second = sides.timed(10.0, accuracy=70.0, sha256="0" * 64, size_bytes=5_000_000)
    cell = sides.cell(first, second)
    assert cell.size_bytes == (4_000_000, 5_000_000)
    assert cell.accuracy.difference == pytest.approx(-10)
    assert cell.accuracy.shown
    assert "artifact" in cell.built_with
    other_photos = sides.timed(10.0, accuracy=60.0, sha256="1" * 64, evaluation={"subset_sha256": "6" * 64})
    assert sides.cell(first, other_photos).accuracy is None


def gates(sides, first, second, *conditions, **asked):
    document = diff(first, second, sides.url, fail_if=conditions, **asked)
    return exit_code(document)


@pytest.mark.parametrize(
    ("milliseconds", "spread", "code"),
    [
        (10.5, 0.005, ExitCode.failure),  # slower, and 3 % is not excluded
        (10.15, 0.005, ExitCode.done),  # slower, but by less than 3 %
        (10.0, 0.005, ExitCode.done),
        (9.0, 0.005, ExitCode.done),
        (10.2, 0.06, ExitCode.untrustworthy),  # too noisy to tell
    ],
)
def test_a_gate_of_latency(sides, milliseconds, spread, code):
    first, second = (sides.timed(value, spread=spread) for value in (10.0, milliseconds))
    assert gates(sides, first, second, "slower=3%") == code


def test_a_gate_is_open_if_nothing_can_be_compared(sides):
    first, second = sides.timed(10.0), sides.timed(10.0, conditions={"runner": "native"})
    assert gates(sides, first, second, "slower=3%") == ExitCode.untrustworthy
    three = [sides.timed(10.0, sessions=3) for _ in range(2)]
    assert gates(sides, *three, "slower=3%") == ExitCode.untrustworthy


def test_gates_of_size_accuracy_and_failures(sides):
    first = sides.timed(10.0, accuracy=80.0)
    larger = sides.timed(10.0, accuracy=79.5, sha256="0" * 64, size_bytes=4_300_000)
    assert gates(sides, first, larger, "larger=5%") == ExitCode.failure
    assert gates(sides, first, larger, "larger=10%") == ExitCode.done
    assert gates(sides, first, larger, "inaccurate=1points") == ExitCode.done
    worse = sides.timed(10.0, accuracy=70.0, sha256="1" * 64)
    assert gates(sides, first, worse, "inaccurate=1points") == ExitCode.failure
    unsure = sides.timed(10.0, accuracy=78.5, sha256="2" * 64)
    assert gates(sides, first, unsure, "inaccurate=1points") == ExitCode.untrustworthy
    unknown = sides.timed(10.0, sha256="3" * 64)
    assert gates(sides, first, unknown, "inaccurate=1points") == ExitCode.untrustworthy
    failed = sides.failed()
    assert gates(sides, first, failed, "broken") == ExitCode.failure
    assert gates(sides, failed, first, "broken") == ExitCode.done


@pytest.mark.parametrize("condition", ["slower=3%", "larger=5%", "inaccurate=1points"])
def test_a_gate_is_open_if_the_second_side_lost_the_cell(sides, condition):
    """Nothing was measured, so nothing is excluded."""
    first = sides.timed(10.0, accuracy=80.0)
    assert gates(sides, first, sides.failed(), condition) == ExitCode.untrustworthy
    sides.measure("another", 10.0)
    assert gates(sides, first, sides.run, condition) == ExitCode.untrustworthy
    assert gates(sides, sides.run, sides.run, condition) == (
        ExitCode.untrustworthy if condition == "slower=3%" else ExitCode.done
    )


def test_a_new_cell_that_fails_breaks_the_gate_and_says_why(sides):
    sides.measure("another", 10.0)
    other, failed = sides.run, sides.failed()
    document = diff(other, failed, sides.url, fail_if=["broken"])
    (cell,) = (one for one in document.cells if one.recipe == "net")
    assert (cell.outcome, cell.reasons) == ("new and failing", ["It crashed."])
    assert document.gates[0].failed[-1] == "net 1.0/224 tflite/xnnpack/int8 on pixel"


@pytest.mark.parametrize("text", ["slower", "slower=3", "slower=3points", "broken=1%", "faster=3%", "larger=-1%", ""])
def test_what_is_no_gate_is_an_error(text):
    with pytest.raises(UsageError, match="is not a condition"):
        gate_of(text)


def test_a_ratio_of_measurements_that_were_not_stable_says_so(sides):
    stable, noisy = sides.timed(10.0, spread=0.002), sides.timed(12.0, spread=0.2)
    notes = diff(stable, noisy, sides.url).notes
    expected = "Verdict stable on the first side, noisy on the second: net 1.0/224 tflite/xnnpack/int8 on pixel."
    assert expected in notes
    assert any(note.startswith("The sessions of one side vary") and "on pixel" in note for note in notes)
    assert not any(
        note.startswith("Verdict") for note in diff(stable, sides.timed(12.0, spread=0.002), sides.url).notes
    )


def test_too_few_sessions_say_how_many_would_do(sides):
    first, second = sides.timed(10.0, spread=0.03), sides.timed(10.0, spread=0.03)
    document = diff(first, second, sides.url, fail_if=["slower=3%"])
    (cell,) = document.cells
    assert cell.sessions_needed > 6
    assert any(f"that would show it: up to {cell.sessions_needed}, in 1 cell." in note for note in document.notes)


def test_sides_may_be_measurements_dates_and_ledgers(sides, tmp_path):
    ids = [sides.measure("net", value) for value in (10.0, 20.0)]
    assert sides.cell(*(f"measurement:{id}" for id in ids)).outcome == "slower"
    assert sides.cell("2999-01-01", "latest").outcome == "not measured again"
    other = tmp_path / "other.sqlite"
    with Ledger.open(f"sqlite:///{other}") as ledger:
        Laboratory(ledger).measure("net", 40.0)
    assert sides.cell("latest", str(other)).ratio.value == pytest.approx(2, rel=0.01)


def test_a_date_is_the_ledger_as_it_was_then(sides):
    first = sides.timed(10.0)
    (then,) = [run.started_at for run in sides.ledger.runs() if run.id == first]
    (done,) = [one.finished_at for one in sides.ledger.measurements(first)]
    sides.timed(20.0)
    cell = sides.cell(done.isoformat(), "latest")
    assert (cell.outcome, cell.ratio.value) == ("slower", pytest.approx(2, rel=0.01))
    with pytest.raises(UsageError, match="no result from before"):
        sides.cell(then.isoformat(), "latest")


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ("measurement:99", "no measurement 99"),
        ("0" * 12, "no run 000000000000"),
        ("2026-13-01", "is not a date"),
        ("none.sqlite", "no ledger at"),
    ],
)
def test_a_side_that_is_not_there_is_an_error(sides, side, message):
    sides.timed(10.0)
    with pytest.raises(UsageError, match=message):
        sides.cell("latest", side)


def test_an_unknown_condition_is_an_error(sides):
    with pytest.raises(UsageError, match="no condition runtime_versoin"):
        sides.cell("latest", "latest", across=["runtime_versoin"])


def run(sides, *arguments):
    return CliRunner().invoke(cli, ["diff", *arguments, "--ledger", sides.url], standalone_mode=False)


def test_the_command_prints_a_table_and_a_document(sides):
    first, second = sides.timed(10.0), sides.timed(11.0)
    table = run(sides, first, second, "--fail-if", "slower=3%", "--format", "markdown")
    assert table.return_value == ExitCode.failure
    assert "| slower" in table.stdout
    assert "slower=3% failed: net 1.0/224 tflite/xnnpack/int8 on pixel." in table.stdout
    document = json.loads(run(sides, first, second, "--json").stdout)
    jsonschema.validate(document, json.loads(committed("diff").read_text()))
    assert document["cells"][0]["outcome"] == "slower"


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_its_terminal(sides, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    first, second = sides.timed(10.0), sides.timed(11.0, conditions={"runner": "native"})
    lines = run(sides, first, second, "--format", "terminal").stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert any("runner" in line for line in lines)


def several(sides, factors, **changes):
    for recipe, factor in factors.items():
        sides.measure(recipe, 10.0 * factor, spread=0.01, **changes)


def test_several_cells_are_one_number_with_an_interval(tmp_path):
    paths = []
    for name, factors in {"old": {"a": 1.0, "b": 1.0}, "new": {"a": 1.2, "b": 1.25}}.items():
        paths.append(f"{tmp_path}/{name}.sqlite")
        with Ledger.open(f"sqlite:///{paths[-1]}") as ledger:
            several(Laboratory(ledger), factors)
    document = diff(*paths, None)
    found = document.overall
    assert found.cells == 2
    assert found.value == pytest.approx((1.2 * 1.25) ** 0.5, rel=0.002)
    assert found.low < found.value < found.high
    assert found.high / found.low < 1.04
    assert any(note.startswith("Geometric mean of 2 cells: 1.22") for note in document.notes)


def test_too_few_sessions_or_cells_have_no_common_number(tmp_path, sides):
    assert diff(sides.timed(10.0), sides.timed(10.0), sides.url).overall is None
    paths = []
    for name in ("old", "new"):
        paths.append(f"{tmp_path}/{name}.sqlite")
        with Ledger.open(f"sqlite:///{paths[-1]}") as ledger:
            several(Laboratory(ledger), {"a": 1.0, "b": 1.0}, sessions=5)
    assert diff(*paths, None).overall is None
