"""Every format, against one ledger."""

import csv
import io
import json
import re
from importlib.resources import files

import jsonschema
import pytest
import small_ledger

from edgekit.report.column import Column, shown
from edgekit.report.output import FORMATS, rendered
from edgekit.report.paper import paper_report
from edgekit.report.rows import rows_of
from edgekit.report.sheet import Note, Report, Section
from edgekit.report.tables import overview


@pytest.fixture
def rows(ledger):
    small_ledger.fill(ledger)
    return rows_of(ledger)


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("build", [overview, paper_report], ids=["list", "paper"])
def test_every_format_tells_devices_builds_and_days_apart(rows, format, build):
    text = rendered(build(rows), format)
    if format != "csv" or build is overview:
        flat = " ".join(text.split())
        assert {"google/blueline:12", "google/blueline:11"} <= set(re.findall(r"google/blueline:\d+", flat))
        assert f"{rows[0].recorded_at:%Y-%m-%d}" in flat
    assert len(set(re.findall("(?:aaaa|bbbb|cccc){2}", text))) == 3


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_every_row(rows, format):
    text = rendered(overview(rows), format)
    for median in ("14.03", "22.05", "60.15", "0.0379") if format not in {"csv", "json"} else ("14.034", "0.0379"):
        assert median in text
    assert text.count("device offline") >= 2
    assert text.endswith("\n")


def test_the_csv_is_plain(rows):
    found = read_csv(rendered(overview(rows), "csv"))
    assert len(found) == len(rows)
    (row,) = [one for one in found if (one["recipe"], one["target"]) == ("v2", small_ledger.INT8)]
    assert float(row["latency_ms_measured"]) == pytest.approx(30.075, abs=1e-3)
    assert (row["runner"], row["cpu_features"], row["accuracy_photos"]) == ("native", "asimd asimddp", "1000")
    assert float(row["accuracy_this_artifact_low"]) == pytest.approx(68.3, abs=0.1)


def test_accuracy_is_that_of_the_same_artifact_only(rows):
    found = read_csv(rendered(overview(rows), "csv"))
    values = {(one["recipe"], one["target"]): one["accuracy_this_artifact"] for one in found}
    assert values["v2", small_ledger.FP32] == "72.0"
    assert values["v2", small_ledger.INT8] == "71.2"
    assert values["v3_large", small_ledger.INT8] == ""


def test_the_json_fits_its_schema_and_has_the_values_of_the_csv(rows):
    document = json.loads(rendered(overview(rows), "json"))
    jsonschema.validate(document, json.loads((files("edgekit") / "schemas/report.schema.json").read_text()))
    rows_in_json = [row for section in document["sections"] for row in section["rows"]]
    for printed, plain in zip(rows_in_json, read_csv(rendered(overview(rows), "csv")), strict=True):
        assert {key: "" if value is None else str(value) for key, value in printed.items()} == plain


SPECIAL = Report(
    [Section([Column("name", "Name_1", str, shown=shown("always"))], ["50% of a|b & c_d {e} #1 $2 ^ ~ \\ ≤\nnext"])],
    [Note("100 % & more_")],
    "A_title",
)


def test_latex_is_escaped():
    text = rendered(SPECIAL, "latex")
    for part in (
        r"50\% of a|b \& c\_d \{e\} \#1 \$2",
        r"$\le$ next",
        r"Name\_1",
        r"\caption{A\_title}",
        r"100 \% \& more\_",
    ):
        assert part in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 4
    assert r"\toprule" in text


def test_markdown_is_escaped_and_a_cell_is_one_line():
    row = rendered(SPECIAL, "markdown").splitlines()[2]
    assert r"a\|b" in row
    assert "≤ next" in row


def test_chosen_columns_are_those_of_every_format(rows):
    report = overview(rows, keys=["target", "size_bytes"])
    assert rendered(report, "csv").splitlines()[0] == "target,size_bytes"
    assert rendered(report, "markdown").splitlines()[0].split() == ["|", "Target", "|", "Size,", "MB", "|"]
    assert {tuple(row) for row in json.loads(rendered(report, "json"))["sections"][0]["rows"]} == {
        ("target", "size_bytes")
    }


def test_notes_are_about_columns_that_are_there(rows):
    assert "p90:" in rendered(overview(rows), "markdown")
    assert "p90:" not in rendered(overview(rows), "terminal", 80)  # there is no room for the column
    assert "p90:" not in rendered(overview(rows, keys=["target"]), "markdown")
