"""What a side holds, and which of its results meets which of the other's."""

from datetime import UTC, datetime

import pytest

from edgekit.comparison.comparing import diff, exit_code
from edgekit.comparison.table import diff_report
from edgekit.errors import ExitCode, UsageError
from edgekit.ledger import Ledger
from edgekit.report.text import markdown
from tests.selection.selection_ledger import Laboratory

PYTHON, NATIVE = {"runner": "python"}, {"runner": "native"}


def ledger_of(tmp_path, name, record):
    path = tmp_path / f"{name}.sqlite"
    with Ledger.open(f"sqlite:///{path}") as ledger:
        record(Laboratory(ledger))
    return str(path)


def timed(*measured):
    """Return what records these (milliseconds, conditions) of one cell, in this order."""

    def record(lab):
        for milliseconds, conditions in measured:
            lab.measure("net", milliseconds, conditions=conditions)

    return record


def outcomes(document):
    return [(cell.outcome, cell.ratio and round(cell.ratio.value, 2)) for cell in document.cells]


def test_results_of_two_runners_meet_their_own_kind(tmp_path):
    first = ledger_of(tmp_path, "first", timed((10.0, PYTHON), (5.0, NATIVE)))
    second = ledger_of(tmp_path, "second", timed((6.0, NATIVE), (12.0, PYTHON)))
    assert sorted(outcomes(diff(first, second, None))) == [("slower", 1.2), ("slower", 1.2)]
    native_only = ledger_of(tmp_path, "native", timed((5.0, NATIVE)))
    assert ("no difference shown", 1.0) in outcomes(diff(first, native_only, None))
    assert ("no difference shown", 1.0) in outcomes(diff(native_only, first, None))


def test_only_the_newest_of_a_cell_is_compared(tmp_path):
    """The old runtime's result is in both ledgers, and says nothing of the new runtime."""
    old, new = (10.0, {"runtime_version": "1"}), (20.0, {"runtime_version": "2"})
    first, second = (ledger_of(tmp_path, name, timed(*all)) for name, all in (("old", [old]), ("new", [old, new])))
    (cell,) = diff(first, second, None).cells
    assert cell.reasons == ["runtime_version differs: 1 and 2"]
    (cell,) = diff(first, second, None, across=["runtime_version"]).cells
    assert cell.outcome == "slower"


def test_a_failure_replaces_what_was_measured_before_it(tmp_path):
    def record(lab):
        lab.measure("net", 10.0)
        lab.begin()
        lab.fail("net")

    first, second = ledger_of(tmp_path, "first", timed((10.0, None))), ledger_of(tmp_path, "second", record)
    document = diff(first, second, None, fail_if=["broken"])
    assert outcomes(document) == [("stopped working", None)]
    assert exit_code(document) == ExitCode.failure


def test_a_measurement_is_not_compared_with_itself(tmp_path):
    ledger = ledger_of(tmp_path, "one", timed((10.0, None)))
    document = diff("latest", "latest", f"sqlite:///{ledger}", fail_if=["slower=3%"])
    assert outcomes(document) == [("not measured again", None)]
    assert exit_code(document) == ExitCode.untrustworthy


@pytest.mark.parametrize("text", ["9999-12-31", "9999-12-31T23:00-05:00", "0001-01-01T00:00+05:00"])
def test_a_date_beyond_the_calendar_is_an_error(tmp_path, text):
    ledger = ledger_of(tmp_path, "one", timed((10.0, None)))
    with pytest.raises(UsageError, match="is not a date"):
        diff(text, "latest", f"sqlite:///{ledger}")


def test_a_moment_is_named_in_utc(tmp_path):
    ledger = ledger_of(tmp_path, "one", timed((10.0, None)))
    document = diff("2999-11-20T18:00+02:00", "latest", f"sqlite:///{ledger}")
    assert document.first == f"until {datetime(2999, 11, 20, 16, tzinfo=UTC):%Y-%m-%d %H:%M} UTC"


@pytest.mark.parametrize("name", ["none.sqlite3", "none.jsonl", "folder/none"])
def test_a_file_that_is_not_there_is_not_taken_for_a_run(tmp_path, name):
    ledger = ledger_of(tmp_path, "one", timed((10.0, None)))
    with pytest.raises(UsageError, match=r"Neither a run nor a file is named") as caught:
        diff(str(tmp_path / name), "latest", f"sqlite:///{ledger}")
    assert "edgekit run list" in caught.value.failure.hint


def test_cells_of_one_name_are_told_apart(tmp_path):
    def record(lab):
        lab.measure("net", 10.0, conditions=PYTHON)
        lab.measure("net", 10.0, conditions=NATIVE)
        lab.measure("net", 10.0, conditions=NATIVE, identity="f" * 16)
        lab.measure("net", 10.0, conditions=NATIVE, weights="random(1)")

    first, second = ledger_of(tmp_path, "first", record), ledger_of(tmp_path, "second", lambda lab: None)
    document = diff(first, second, None, fail_if=["broken"])
    failed = document.gates[0].failed
    assert len(set(failed)) == len(failed) == 4
    assert any("device ffffffff" in name and "runner native" in name for name in failed)
    table = [line for line in markdown(diff_report(document)).splitlines() if line.startswith("|")]
    assert all(heading in table[0] for heading in ("Device id", "Model", "Runner")), table
    assert len(set(table[2:])) == 4


def test_a_gate_that_compared_nothing_is_open(tmp_path):
    first = ledger_of(tmp_path, "first", lambda lab: None)
    second = ledger_of(tmp_path, "second", timed((10.0, None)))
    document = diff(first, second, None, fail_if=["slower=3%", "broken"])
    assert [gate.undecided for gate in document.gates] == [["no latency was compared"], []]
    assert exit_code(document) == ExitCode.untrustworthy
