import re

import pytest
import small_ledger

from edgekit.report.fitting import wrapped
from edgekit.report.output import rendered
from edgekit.report.paper import paper_report
from edgekit.report.rows import rows_of
from edgekit.report.tables import overview

AT_80 = """\
                                                                   Top-1, %
                                  Latency, ms                      (this
Recipe    Target        Device    (measured)          Result       artifact)
───────────────────────────────────────────────────────────────────────────────
v3_small  executorch/   host      0.0379              stable       –
1.0/224   xnnpack/fp32  cccccccc  [0.0378, 0.0380]
v3_small  tflite/       pixel     7.02 [7.00, 7.03]   stable       –
1.0/224   xnnpack/int8  aaaaaaaa
v3_small  tflite/       pixel     14.03               stable       –
1.0/224   xnnpack/fp32  aaaaaaaa  [14.00, 14.07]
v3_large  tflite/       pixel     22.05               stable       –
1.0/224   xnnpack/int8  aaaaaaaa  [22.00, 22.11]
v2        tflite/       pixel     30.07               stable       71.2
1.0/224   xnnpack/int8  aaaaaaaa  [30.00, 30.15]                   [68.3, 73.9]
"""  # noqa: RUF001


@pytest.fixture
def rows(ledger):
    small_ledger.fill(ledger)
    return rows_of(ledger)


def test_the_table_at_80_columns(rows):
    assert rendered(overview(rows), "terminal", 80).startswith(AT_80)


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("build", [overview, paper_report], ids=["list", "paper"])
def test_a_table_fits_and_breaks_no_number(rows, width, build):
    text = rendered(build(rows), "terminal", width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    heads = [line for line in lines if line.startswith("Recipe")]
    assert heads, "the first column is there"
    table = text.partition("\n- ")[0]
    for interval in ("[14.00, 14.07]", "[22.00, 22.11]", "[0.0378, 0.0380]"):
        assert interval in table


def test_what_rows_share_is_written_once(rows):
    text = " ".join(rendered(overview(rows), "terminal", 200).split())
    assert text.count("6 sessions are needed") == 1
    assert "preliminary (3 rows): 3 sessions" in text
    assert text.count("No phone.") == 1
    assert "v2 1.0/224 executorch/xnnpack/fp32, v3_large 1.0/224 executorch/xnnpack/fp32: device offline" in text


def test_what_was_only_compiled_has_columns_of_its_own(ledger):
    run = ledger.begin_run("compile", 0, {}, {})
    for target in (small_ledger.FP32, small_ledger.INT8):
        ledger.record_artifact(run, small_ledger.manifest("v2", target, size_bytes=12_345))
    from rich.console import Console

    from edgekit.report.tables import terminal

    with (console := Console(width=100, highlight=False)).capture() as captured:
        console.print(terminal(rows_of(ledger, run), [], "v2, compiled", 100), crop=False)
    text = captured.get()
    head = "\n".join(line for line in text.splitlines()[:5])
    for heading in ("Target", "Result", "Size", "Compiled", "Parity", "Delegate"):
        assert heading in head
    for missing in ("Latency", "Pixel", "p90", "Recipe"):
        assert missing not in head
    assert "0.0123" in text  # MB


def test_a_path_without_room_is_listed_below(ledger, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    known = small_ledger.manifest("v2", small_ledger.FP32)
    file = tmp_path / "artifacts" / known["build_key"] / known["file"]
    file.parent.mkdir(parents=True)
    file.touch()
    run = ledger.begin_run("compile", 0, {}, {})
    ledger.record_artifact(run, known)
    from edgekit.report.columns import COMPILED

    report = overview(rows_of(ledger, run), columns=COMPILED)
    assert re.search(
        rf"- v2 1\.0/224 tflite/xnnpack/fp32:\n\s+{re.escape(str(file))}\n", rendered(report, "terminal", 80)
    )
    wide = rendered(report, "terminal", 400)
    assert str(file) in wide
    assert "- v2 1.0/224 tflite/xnnpack/fp32:" not in wide


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("tflite/xnnpack/int8", 12, ["tflite/", "xnnpack/int8"]),
        ("v3_small 1.0/224", 8, ["v3_small", "1.0/224"]),
        ("4.10 [4.00, 4.20] 75%", 12, ["4.10", "[4.00, 4.20]", "75%"]),
        ("x" * 30, 10, ["x" * 24, "x" * 6]),
    ],
)
def test_where_a_cell_is_broken(text, width, lines):
    assert wrapped(text, width) == lines
