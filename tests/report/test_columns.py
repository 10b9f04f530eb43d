import ast
from collections import Counter
from pathlib import Path

import pytest

import edgekit
from edgekit.errors import UsageError
from edgekit.report.column import Column, default, named, shown
from edgekit.report.columns import BY_KEY, COLUMNS

ITEMS = [{"name": "a", "build": "1", "day": "Mon"}, {"name": "a", "build": "2", "day": "Mon"}]
NAME, BUILD, DAY = (
    Column("name", "Name", lambda one: one["name"], shown=shown("always"), identity=True),
    Column("build", "Build", lambda one: one["build"], shown=shown(), identity=True),
    Column("day", "Day", lambda one: one["day"], shown=shown(), identity=True),
)


def keys(columns):
    return [column.key for column in columns]


def test_no_column_is_defined_twice():
    """A key stands in one place of the source. Other tables take the column from there."""
    defined = Counter()
    for path in Path(edgekit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Column" and node.args:
                defined[ast.unparse(node.args[0])] += 1
    assert defined["'recipe'"] == 1  # the search finds columns at all
    assert [key for key, count in defined.items() if count > 1] == []
    assert len(BY_KEY) == len(COLUMNS)


def test_what_tells_two_items_apart_is_added_and_nothing_more():
    assert keys(default([NAME, DAY, BUILD], ITEMS, "terminal")) == ["name", "build"]
    assert keys(default([NAME, DAY, BUILD], ITEMS[:1], "terminal")) == ["name"]
    assert keys(default([NAME, DAY, BUILD], ITEMS, "csv")) == ["name", "day", "build"]


@pytest.mark.parametrize(
    ("when", "values", "is_shown"),
    [
        ("present", [None, None], False),
        ("present", [None, 1], True),
        ("varies", [None, 1], False),
        ("varies", [1, 2], True),
        ("always", [None], True),
    ],
)
def test_when_a_column_is_shown(when, values, is_shown):
    column = Column("value", "Value", lambda value: value, shown=shown(when))
    assert bool(default([column], values, "markdown")) == is_shown


def test_an_unknown_key_is_an_error_that_lists_the_keys():
    assert keys(named(COLUMNS, ["target", "recipe", "target"])) == ["target", "recipe"]
    with pytest.raises(UsageError, match="no column latencies") as error:
        named(COLUMNS, ["latencies"])
    assert "latency_ms_measured" in error.value.failure.hint


@pytest.mark.parametrize(
    "key",
    [
        *("measured_at", "edgekit_version", "runtime_version", "tools", "runner", "cpu", "cpu_features", "clock_rung"),
        *("device_id", "os_build", "emulated", "accuracy_photos", "accuracy_data_set", "accuracy_this_artifact_low"),
    ],
)
def test_a_gate_finds_what_it_needs_in_csv_and_json(key):
    assert BY_KEY[key].shown["csv"] == BY_KEY[key].shown["json"] == "always"
