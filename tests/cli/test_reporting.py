"""edgekit report, support and recipes, in this process."""

import csv
import io
import json
from importlib.resources import files

import jsonschema
import pytest
import small_ledger
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import UsageError
from edgekit.recipe.loading import load_recipe


@pytest.fixture
def run(ledger):
    return small_ledger.fill(ledger)


def edgekit(*arguments):
    done = CliRunner().invoke(cli, arguments)
    if done.exception:
        raise done.exception
    return done.stdout


def rows(*arguments):
    return list(csv.DictReader(io.StringIO(edgekit("report", "--format", "csv", *arguments))))


def test_without_a_terminal_it_is_markdown(run):
    assert edgekit("report").startswith("| Recipe ")
    assert edgekit("report", "--table", "paper").startswith("### Float")
    assert "### Order" in edgekit("report", "--against", "mobilenetv3-table3")


def test_filters_are_repeated_or_have_commas(run):
    assert len(rows("--recipe", "v2,v3_small", "--device", "pixel")) == 7
    assert len(rows("--recipe", "v2", "--recipe", "v3_small", "--device", "pixel")) == 7
    assert {row["target"] for row in rows("--target", "int8")} == {small_ledger.INT8}
    assert {row["protocol"] for row in rows("--protocol", "quick")} == {"quick"}
    assert len(rows("--since", "1h", "--run", run[:6])) == 13


@pytest.mark.parametrize(
    "arguments",
    [
        ("--recipe", "v9"),
        ("--recipe", ","),
        ("--columns", "speed"),
        ("--sort", "speed"),
        ("--since", "soon"),
        ("--run", "ffffffffffff"),
        ("--against", "mobilenetv4"),
        ("--against", "mobilenetv3-table3", "--table", "paper"),
        ("--table", "paper", "--sort", "recipe"),
        ("--output", "table.pdf"),
    ],
)
def test_a_choice_that_cannot_be_is_a_usage_error(run, arguments):
    with pytest.raises(UsageError) as error:
        edgekit("report", *arguments)
    assert error.value.failure.hint


def test_columns_and_order_can_be_chosen(run):
    found = edgekit(
        "report", "--format", "csv", "--columns", "recipe,multiply_adds", "--sort", "multiply_adds", "--target", "int8"
    )
    assert found.splitlines() == ["recipe,multiply_adds", "v3_small,56516064", "v3_large,216589760", "v2,300774272"]


def test_a_file_has_the_format_of_its_name(run, tmp_path):
    for name, start in (
        ("a.md", "| Recipe"),
        ("a.csv", "recipe,"),
        ("a.tex", "% needs"),
        ("a.json", "{"),
        ("a.txt", "  "),
    ):
        assert edgekit("report", "--output", str(tmp_path / name)) == ""
        assert (tmp_path / name).read_text().startswith(start), name
    edgekit("report", "--output", str(tmp_path / "any.name"), "--format", "csv")
    assert (tmp_path / "any.name").read_text() == (tmp_path / "a.csv").read_text()
    document = json.loads((tmp_path / "a.json").read_text())
    jsonschema.validate(document, json.loads((files("edgekit") / "schemas/report.schema.json").read_text()))


def test_support_is_a_command(ledger):
    recipe = load_recipe("v2").model_dump(mode="json")
    ledger.begin_run("compile", 0, {}, {"recipes": [{"recipe": recipe, "targets": ["tflite/xnnpack/fp32"]}]})
    assert "not built yet" in edgekit("support")
    assert edgekit("support", "--format", "csv").splitlines()[0] == "recipe,tflite/xnnpack/fp32"


def test_recipes_show_what_they_cost_and_their_published_accuracy(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = edgekit("recipes").splitlines()
    assert max(map(len, lines)) <= 80
    (v2,) = [line.split() for line in lines if line.startswith("v2 ")]
    assert v2 == ["v2", "224", "72.0", "3.50", "300.8"]
    (raspp,) = [line.split() for line in lines if line.startswith("raspp_v2 ")]
    assert raspp[1:4] == ["1024x2048", "72.8", "mIOU"]
    document = json.loads(edgekit("recipes", "--json"))
    (entry,) = [one for one in document["recipes"] if one["name"] == "v2"]
    assert (entry["resolution"], entry["multiply_adds"], entry["accuracy_published_low"]) == ("224", 300_774_272, 72.0)
