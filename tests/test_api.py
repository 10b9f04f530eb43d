"""The public Python API: lazy, readable frames, and the same answers as the command line."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fetched import ROOT

import edgekit
from edgekit import ledger as recorded
from edgekit.cli import cli
from edgekit.cli.select import command as select_command
from edgekit.errors import UsageError
from tests.synthetic_ledger import Spec, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('api')}/ledger.sqlite"
    with recorded.Ledger.open(url) as ledger:
        truth = write(ledger, Spec(recipes=4, devices=2, failures=0.15, seed=3))
    return url, truth


def test_importing_edgekit_loads_nothing_else():
    code = (
        "import sys, edgekit; print([m for m in sys.modules if m.split('.')[0] in {'pandas', 'numpy', 'sqlalchemy'}])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    assert set(edgekit.__all__) <= set(dir(edgekit))
    with pytest.raises(AttributeError, match="it has Ledger, report, select"):
        _ = edgekit.Leger


def test_measurements_are_a_frame_with_the_columns_of_the_csv(place):
    url, truth = place
    with edgekit.Ledger.open(url) as ledger:
        frame, failed = ledger.measurements(), ledger.failures()
    assert len(frame) == len(truth.measured)
    assert set(zip(failed.recipe, failed.target, failed.device, strict=True)) == truth.failed
    assert isinstance(frame["measured_at"].dtype, pd.DatetimeTZDtype)
    errors = [
        np.log(row.latency_ms_measured / truth.latency_ms[row.recipe, row.target, row.device])
        for row in frame.itertuples()
    ]
    assert np.abs(errors).max() < 0.1
    csv = CliRunner().invoke(cli, ["report", "--format", "csv", "--ledger", url]).stdout
    assert csv.splitlines()[0].split(",") == list(frame.columns)


def test_filters_are_those_of_the_report(place):
    with edgekit.Ledger.open(place[0]) as ledger:
        frame = ledger.measurements(device="device1", target=["int8"])
        assert set(frame.device) == {"device1"}
        assert set(frame.target) == {"tflite/xnnpack/int8"}
        with pytest.raises(UsageError, match="no result of the recipe nett"):
            ledger.measurements(recipe="nett")


def test_a_table_renders_in_a_notebook_and_escapes(place):
    with edgekit.Ledger.open(place[0]) as ledger:
        table = edgekit.report.table(ledger, device="device0", columns=("recipe", "latency_ms_measured"))
        html = table._repr_html_()
        assert html.count("<tr>") == 1 + len(ledger.rows(device="device0"))
        assert "Latency, ms" in html
        assert str(table).startswith("| Recipe")


def test_select_is_that_of_the_command_line(place):
    url, _ = place
    with edgekit.Ledger.open(url) as ledger:
        document = edgekit.select(ledger, "device0", max_latency="20ms", min_accuracy=50)
    arguments = ["select", "--device", "device0", "--max-latency", "20ms", "--min-accuracy", "50", "--json"]
    printed = CliRunner().invoke(cli, [*arguments, "--ledger", url], standalone_mode=False).stdout
    assert json.loads(printed) == json.loads(document.model_dump_json(by_alias=True))


def test_no_ledger_is_an_error_and_none_is_made(tmp_path):
    with pytest.raises(UsageError, match="There is no ledger"):
        edgekit.Ledger.open(f"sqlite:///{tmp_path}/none.sqlite")
    assert not list(tmp_path.iterdir())


def test_the_example_of_the_commands_page_runs(place, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/commands.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setenv("EDGEKIT_LEDGER", place[0])
    exec(compile(example.replace('"host"', '"device0"'), "commands.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "latency_ms_measured" in printed
    assert re.search(r"net\d\d tflite/xnnpack/\w+ with P = [01]\.\d\d", printed)


def test_select_takes_the_options_of_the_command_line(place):
    """The same names, one or several; a name that is not an option is an error."""
    options = {name for name in inspect.signature(edgekit.select).parameters if name != "ledger"}
    command = {parameter.opts[0].removeprefix("--").replace("-", "_") for parameter in select_command.params}
    assert options == command - {"ledger", "json", "help"}
    with edgekit.Ledger.open(place[0]) as ledger:
        found = edgekit.select(ledger, "device0", max_latency="1s", target="int8", recipe=["net00", "net01"])
        assert {one.target for one in found.candidates} == {"tflite/xnnpack/int8"}
        assert {one.recipe for one in found.candidates} <= {"net00", "net01"}


@pytest.mark.parametrize("limit", ["max_latency", "max_size", "max_memory"])
@pytest.mark.parametrize("value", [20, 0, ""])
def test_a_limit_without_a_unit_is_never_taken_for_no_limit(place, limit, value):
    with edgekit.Ledger.open(place[0]) as ledger, pytest.raises(UsageError, match=limit):
        edgekit.select(ledger, "device0", **{limit: value})


def test_a_table_takes_one_column_and_a_start(place):
    with edgekit.Ledger.open(place[0]) as ledger:
        assert str(edgekit.report.table(ledger, columns="recipe", since="2020-01-01")).startswith("| Recipe")
        with pytest.raises(UsageError, match="No result is newer"):
            ledger.measurements(since="2999-01-01")
