"""What is a row of its own, and what replaces an older row."""

import pytest
import small_ledger

from edgekit.report.output import rendered
from edgekit.report.rows import rows_of
from edgekit.report.tables import overview

OTHER = {
    "runner": {"runner": "python"},
    "runtime_version": {"runtime_version": "2.4.0"},
    "clock_rung": {"before": {"clock_rung": "free-running"}},
    "threads": {"threads": 4},
    "emulated": {"emulated": True},
    "cpu_features": {"cpu_features": ["asimd"]},
}


def measure(ledger, milliseconds, **changes):
    run = ledger.begin_run("deploy", 0, {"name": "1t-big"}, {})
    small_ledger.measure(ledger, run, "v2", small_ledger.FP32, milliseconds, **changes)


def test_the_same_cell_measured_again_is_one_row(ledger):
    measure(ledger, 60)
    measure(ledger, 50)
    (row,) = rows_of(ledger)
    assert row.summary["median"] == pytest.approx(50, rel=0.01)


@pytest.mark.parametrize("condition", OTHER)
def test_other_conditions_are_another_row_that_every_table_tells_apart(ledger, condition):
    measure(ledger, 60)
    measure(ledger, 50, **OTHER[condition])
    rows = rows_of(ledger)
    assert len(rows) == 2
    lines = rendered(overview(rows), "csv").splitlines()[1:]
    assert len(lines) == 2
    if condition in {"clock_rung", "emulated"}:
        assert rendered(overview(rows), "markdown").count("### ") == 2
    else:
        assert condition in {column.key for section in overview(rows).filled for column in section.chosen("terminal")}


def test_the_rows_of_two_runs_stand_side_by_side(ledger):
    for milliseconds in (60, 50):
        measure(ledger, milliseconds)
    first, second = (run.id for run in ledger.runs())
    rows = rows_of(ledger, first, second)
    assert len(rows) == 2
    assert {row.run for row in rows} == {first, second}
    shown = {column.key for section in overview(rows).filled for column in section.chosen("terminal")}
    assert shown & {"measured_at", "recorded_at", "run"}


def test_every_row_says_which_edgekit_measured_it(ledger):
    small_ledger.fill(ledger)
    (version,) = {run.edgekit_version for run in ledger.runs()}
    assert {row.edgekit_version for row in rows_of(ledger)} == {version}
