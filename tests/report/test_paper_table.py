import csv
import io

import pytest
import small_ledger

from edgekit.errors import FailureKind
from edgekit.report.output import rendered
from edgekit.report.paper import VERDICT_MARKS, cell, paper_report
from edgekit.report.rows import rows_of


@pytest.fixture
def run(ledger):
    return small_ledger.fill(ledger)


def sections(ledger):
    return {section.heading.split(" ")[0]: section for section in paper_report(rows_of(ledger)).filled}


def cells(section, recipe, target):
    (line,) = [one for one in section.items if (one.first.recipe, one.first.target) == (recipe, target)]
    return {column.heading: column.cell(line) for column in section.chosen("terminal")}


def test_rows_are_networks_and_columns_devices_float_and_quantized_apart(ledger, run):
    found = sections(ledger)
    assert list(found) == ["Float", "Quantized"]
    assert all(line.first.precision != "int8" for line in found["Float"].items)
    assert all(line.first.precision == "int8" for line in found["Quantized"].items)
    v2 = cells(found["Float"], "v2", small_ledger.FP32)
    assert v2["pixel aaaaaaaa"] == "60.15 [60.00, 60.30]"
    assert v2["pixel bbbbbbbb"] == "66.07 [66.00, 66.13]*"  # preliminary
    assert v2["host cccccccc"] == "–"  # noqa: RUF001
    assert v2["Pixel 1"] == "64"
    assert v2["MAdds"] == "300.8"


def test_the_fastest_network_comes_first(ledger, run):
    assert [line.first.recipe for line in sections(ledger)["Quantized"].items] == ["v3_small", "v3_large", "v2"]


def test_a_failed_cell_says_why_in_the_columns_of_its_device(ledger, run):
    v2 = cells(sections(ledger)["Float"], "v2", "executorch/xnnpack/fp32")
    assert v2["pixel aaaaaaaa"] == v2["pixel bbbbbbbb"] == "device offline"
    assert v2["host cccccccc"] == "–"  # noqa: RUF001
    small_ledger.fail(ledger, run, "v2", small_ledger.INT8, FailureKind.compilation, "No.", device=None)
    assert cells(sections(ledger)["Quantized"], "v2", small_ledger.INT8)["pixel aaaaaaaa"] == "30.07 [30.00, 30.15]"
    small_ledger.fail(ledger, run, "v3_small", "executorch/xnnpack/int8", FailureKind.compilation, "No.", device=None)
    failed = cells(sections(ledger)["Quantized"], "v3_small", "executorch/xnnpack/int8")
    assert failed["pixel aaaaaaaa"] == "compilation failed"


def test_another_build_is_a_line_of_its_own_so_that_no_accuracy_is_borrowed(ledger, run):
    known = small_ledger.manifest("v2", small_ledger.FP32, sha256="f" * 64, recipe_hash="other")
    ledger.begin_run("deploy", 0, {}, {})
    id = ledger.begin_measurement(
        ledger.record_artifact(run, known), "cccccccc3333", small_ledger.FP32, {"name": "1t-big"}
    )
    row = next(one for one in rows_of(ledger) if one.summary)
    ledger.finish_measurement(id, verdict="stable", evidence="", summary=row.summary, conditions=row.conditions)
    lines = [line for line in sections(ledger)["Float"].items if line.first.recipe == "v2"]
    accuracies = {line.first.manifest["sha256"][:4]: line.first.accuracy for line in lines if line.first.summary}
    assert len(accuracies) == 2
    assert accuracies["ffff"] is None
    keys = [column.key for column in sections(ledger)["Float"].chosen("markdown")]
    assert "artifact_sha256" in keys


def test_clocks_share_no_table(ledger, run):
    small_ledger.measure(ledger, run, "v2", small_ledger.FP32, 70, before={"clock_rung": "free-running"})
    headings = [section.heading for section in paper_report(rows_of(ledger)).filled]
    assert "Float; Clocks: fixed-performance" in headings
    assert any(heading.endswith("Clocks: free-running") for heading in headings)


def test_runners_are_columns_of_their_own(ledger, run):
    small_ledger.measure(ledger, run, "v2", small_ledger.FP32, 70, runner="python")
    v2 = cells(sections(ledger)["Float"], "v2", small_ledger.FP32)
    assert v2["pixel aaaaaaaa, 1t-big, native runner"] == "60.15 [60.00, 60.30]"
    assert v2["pixel aaaaaaaa, 1t-big, python runner"].startswith("70.17")


def test_the_legend_names_the_marks_that_are_there(ledger, run):
    text = " ".join(rendered(paper_report(rows_of(ledger)), "markdown").split())
    assert "* preliminary" in text
    assert "~ noisy" not in text
    assert len(set(VERDICT_MARKS.values())) == len(VERDICT_MARKS)


def test_a_number_of_another_kind_has_a_mark(ledger, run):
    from dataclasses import replace

    row = next(one for one in rows_of(ledger) if one.summary)
    assert cell(replace(row, kind="predicted")).endswith(" (r)")


def test_the_csv_has_numbers(ledger, run):
    found = list(csv.DictReader(io.StringIO(rendered(paper_report(rows_of(ledger)), "csv"))))
    (v2,) = [one for one in found if (one["recipe"], one["target"]) == ("v2", small_ledger.FP32)]
    assert float(v2["pixel_aaaaaaaa_ms"]) == pytest.approx(60.15)
    assert float(v2["pixel_bbbbbbbb_high_ms"]) == pytest.approx(66.132)
    assert v2["pixel_bbbbbbbb_result"] == "preliminary"
