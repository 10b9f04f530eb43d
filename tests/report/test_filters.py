from datetime import UTC, datetime, timedelta

import pytest
import small_ledger

from edgekit.errors import UsageError
from edgekit.report.filters import Filters, best_first, chosen, known_runs, moment
from edgekit.report.rows import rows_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def rows(ledger):
    small_ledger.fill(ledger)
    return rows_of(ledger)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (Filters(), 13),
        (Filters(recipes=["v2"]), 5),
        (Filters(recipes=["v2", "v3_small"]), 9),
        (Filters(devices=["host"]), 1),
        (Filters(devices=["aaaaaaaa"]), 6),
        (Filters(devices=["pixel"]), 11),
        (Filters(devices=["pixel bbbbbbbb"]), 3),
        (Filters(targets=["tflite/xnnpack/int8"]), 3),
        (Filters(targets=["int8"]), 3),
        (Filters(targets=["executorch", "coreml"]), 4),
        (Filters(targets=["tflite/int8"]), 3),
        (Filters(protocols=["quick"]), 3),
        (Filters(recipes=["v2"], devices=["pixel"], targets=["int8"]), 1),
    ],
)
def test_rows_that_pass(rows, filters, count):
    assert len(chosen(rows, filters)) == count


@pytest.mark.parametrize(
    ("filters", "hint"),
    [
        (Filters(recipes=["v9"]), "v2, v3_large, v3_small"),
        (Filters(devices=["aaaaaaa"]), "host cccccccc, pixel"),
        (Filters(targets=["int16"]), "tflite/xnnpack/int8"),
        (Filters(protocols=["1t"]), "1t-big, quick"),
        (Filters(since=NOW + timedelta(days=36500)), "The newest is of 20"),
        (Filters(recipes=["v3_small"], targets=["coreml"]), "Leave one out"),
    ],
)
def test_a_filter_that_fits_nothing_says_what_there_is(rows, filters, hint):
    with pytest.raises(UsageError) as error:
        chosen(rows, filters)
    assert hint in error.value.failure.hint


def test_since_goes_by_the_time_of_a_result_also_of_a_failure(rows):
    failed = next(row for row in rows if row.status == "failed")
    found = chosen(rows, Filters(since=failed.recorded_at))
    assert failed in found
    assert all(row.recorded_at >= failed.recorded_at for row in found)
    assert len(found) < len(rows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("36h", NOW - timedelta(hours=36)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
    ],
)
def test_points_in_time(text, expected):
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "7", "2026-13-01", "d"])
def test_what_is_no_point_in_time(text):
    with pytest.raises(UsageError, match="neither a date nor a time span"):
        moment(text)


def test_the_fastest_of_each_device_comes_first_and_failures_last(rows):
    ordered = best_first(rows)
    assert [row.status for row in ordered] == ["measured"] * 10 + ["compiled"] + ["failed"] * 2
    assert [row.device_id[:1] for row in ordered[:10]] == ["c", *"a" * 6, *"b" * 3]
    medians = [row.summary["median"] for row in ordered[1:7]]
    assert medians == sorted(medians)


def test_a_key_sorts_best_first_and_what_has_no_value_last(rows):
    accuracies = [
        row.accuracy and row.accuracy.metrics["top1"]["value"] for row in best_first(rows, "accuracy_this_artifact")
    ]
    known = [value for value in accuracies if value is not None]
    assert known == sorted(known, reverse=True)
    assert accuracies[: len(known)] == known
    sizes = [row.manifest["size_bytes"] for row in best_first(rows, "size_bytes") if row.manifest]
    assert sizes == sorted(sizes)
    assert [row.recipe for row in best_first(rows, "recipe")] == sorted(row.recipe for row in rows)
    with pytest.raises(UsageError, match="no column speed"):
        best_first(rows, "speed")


def test_runs_go_by_their_first_digits(ledger):
    run = small_ledger.fill(ledger)
    assert known_runs(ledger, [run[:4], run]) == [run, run]
    for name in (run[:3], "0" * 12):
        with pytest.raises(UsageError, match="holds no run") as error:
            known_runs(ledger, [name])
        assert run in error.value.failure.hint
