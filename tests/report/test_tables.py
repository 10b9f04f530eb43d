import io
import re

import pandas as pd
import pytest
from rich.console import Console

from edgekit.errors import Failure, FailureKind
from edgekit.ledger import Ledger
from edgekit.measure.statistics import summarise
from edgekit.report.document import run_document
from edgekit.report.rows import rows_of
from edgekit.report.tables import csv, markdown, terminal

MILLISECOND = 1_000_000
PARITY = {
    "kind": "measured",
    "photos": 16,
    "max_absolute": 1e-6,
    "max_relative": 1e-6,
    "snr_db": 109.0,
    "top1_agreement": 1.0,
}


def manifest(target, **changes):
    return {
        "recipe": "v3_large",
        "recipe_hash": "h",
        "architecture": "mobilenet_v3_large",
        "variant": "1.0/224",
        "model": {"width": 1.0, "resolution": 224},
        "target": target,
        "format": "tflite",
        "sha256": target.encode().hex().ljust(64, "0")[:64],
        "size_bytes": 22_000_000,
        "build_key": "k",
        "weights": "random(0)",
        "contract": "met",
        "parameters": 5_483_032,
        "multiply_adds": 216_589_760,
        "delegation": {"partitions": 1},
        "parity": PARITY,
        "published": {"model": "MobileNetV3-Large", "variant": "", "head": ""},
        **changes,
    }


def measure(ledger, run, target, milliseconds, sessions=3, **conditions):
    artifact = ledger.record_artifact(run, manifest(target))
    ledger.record_device("d", "host", {})
    id = ledger.begin_measurement(artifact, "d", target, {"name": "quick"})
    samples = [[int((milliseconds + block / 10) * MILLISECOND)] * 40 for block in range(sessions)]
    for block, session in enumerate(samples):
        ledger.add_session(id, block, load_ns=1, first_ns=1, samples=session, environment={})
    summary = summarise(samples, [1] * sessions, [1] * sessions).model_dump()
    ledger.finish_measurement(
        id,
        verdict="preliminary",
        evidence="few",
        summary=summary,
        conditions={"soc": "a chip", "before": {}, **conditions},
    )


@pytest.fixture
def run(ledger):
    run = ledger.begin_run("deploy", 0, {"name": "quick"}, {})
    measure(ledger, run, "tflite/xnnpack/fp32", 4.0)
    measure(ledger, run, "tflite/xnnpack/int8", 2.0)
    ledger.record_artifact(run, manifest("coreml/-/fp16", parity={**PARITY, "kind": "derived"}))
    failure = Failure(FailureKind.compilation, "compile", "No such operator.", "Use another.")
    ledger.record_failure(run, failure, recipe="v3_large", variant="1.0/224", target="executorch/xnnpack/fp32")
    return run


def test_a_phone_of_a_published_model_is_told_from_other_devices(ledger):
    run = ledger.begin_run("deploy", 0, {"name": "quick"}, {})
    measure(ledger, run, "tflite/xnnpack/fp32", 4.0)
    assert "single large core; other devices than the one measured." in markdown(rows_of(ledger, run))
    measure(ledger, run, "tflite/xnnpack/int8", 4.0, published_as="Pixel 1")
    assert "single large core; Pixel 1 is the model of host, other builds and runtimes." in markdown(
        rows_of(ledger, run)
    )


def test_a_compute_plan_that_changed_between_sessions_is_not_told(ledger):
    run = ledger.begin_run("deploy", 0, {"name": "quick"}, {})
    measure(ledger, run, "coreml/-/fp16", 4.0, compute_units="all")
    assert "compute units all (preferred: not the same in all sessions)" in markdown(rows_of(ledger, run))


def test_a_row_per_cell_whatever_became_of_it(ledger, run):
    assert [(row.target, row.status, row.result) for row in rows_of(ledger, run)] == [
        ("coreml/-/fp16", "compiled", "compiled only"),
        ("executorch/xnnpack/fp32", "failed", "compilation failed"),
        ("tflite/xnnpack/fp32", "measured", "preliminary"),
        ("tflite/xnnpack/int8", "measured", "preliminary"),
    ]
    assert rows_of(ledger, run) == rows_of(ledger)


def test_the_markdown_says_what_is_measured_derived_and_published(ledger, run):
    text = markdown(rows_of(ledger, run))
    header, _, *lines = text.split("\n\n")[0].splitlines()
    assert "Latency, ms (measured)" in header
    assert "Top-1, % (this artifact)" not in header  # nothing was evaluated
    assert "Top-1, % (published)" in header
    assert "Pixel 1, ms (published)" in header
    cells = {line.split("|")[2].strip(): [cell.strip() for cell in line.split("|")] for line in lines}
    fp32 = cells["tflite/xnnpack/fp32"]
    assert "4.10 [4.00, 4.20] 75%" in fp32
    assert {"51", "61", "44", "75.2", "5.48", "216.6"} <= set(fp32)
    assert {"44", "42.5", "31.7", "73.8"} <= set(cells["tflite/xnnpack/int8"])
    assert "51" not in cells["coreml/-/fp16"]  # fp16 was never published
    assert "109 dB, 16/16 (derived)" in cells["coreml/-/fp16"]
    for note in (
        "No such operator. Use another.",
        "random(0) weights",
        "arXiv:1905.02244v5",
        "published elsewhere",
        "a chip",
    ):
        assert note in text


def test_what_is_not_to_be_compared_shares_no_table(ledger, run):
    measure(ledger, run, "executorch/xnnpack/int8", 9.0, emulated=True)
    measure(ledger, run, "executorch/xnnpack/fp32", 3.0, before={"clock_rung": "fixed-performance"})
    rows = rows_of(ledger, run)
    parts = re.split(r"^### (.*)$", markdown(rows), flags=re.MULTILINE)[1:]
    tables = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(tables) == ["Clocks: unknown", "Clocks: fixed-performance", "Emulated devices", "Not measured"]
    assert "9.10" in tables["Emulated devices"]
    assert "9.10" not in "".join(text for heading, text in tables.items() if heading != "Emulated devices")
    output = Console(file=io.StringIO(), width=170)
    output.print(terminal(rows, [], "title", 170))
    assert "title: Emulated devices" in output.file.getvalue()
    table = pd.read_csv(io.StringIO(csv(rows))).set_index("target")
    assert list(table.loc[["executorch/xnnpack/int8", "tflite/xnnpack/int8"], "emulated"]) == [True, False]


def test_the_csv_has_plain_numbers(ledger, run):
    table = pd.read_csv(io.StringIO(csv(rows_of(ledger, run)))).set_index("target")
    assert table.loc["tflite/xnnpack/fp32", "latency_ms_measured"] == pytest.approx(4.1)
    assert table.loc["tflite/xnnpack/fp32", "interval_confidence"] == 0.75
    assert table.loc["tflite/xnnpack/fp32", "pixel1_ms_published"] == 51
    assert pd.isna(table.loc["executorch/xnnpack/fp32", "latency_ms_measured"])
    assert ",22000000," in csv(rows_of(ledger, run))  # a whole number, although other rows have none
    assert table["top1_this_artifact"].isna().all()  # nothing measures it yet, and nothing stands in for it


def test_the_terminal_table_holds_the_same_and_fits(ledger, run):
    for width in (80, 100, 200):
        output = Console(file=io.StringIO(), width=width)
        output.print(terminal(rows_of(ledger, run), run_document(ledger, run).ratios, "title", width))
        text = output.file.getvalue()
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        for cell in ("tflite/xnnpack/fp32", "4.10 [4.00, 4.20] 75%", "preliminary", "compilation failed"):
            assert cell in text
        assert ("No room here for: " in text) == (width < 200)
    assert "1.95 [1.91, 2.00] times as fast" in text
    assert "42.5" in text


def test_ratios_are_paired_and_only_of_one_runtime(ledger, run):
    (ratio,) = run_document(ledger, run).ratios
    assert (ratio.baseline, ratio.target) == ("tflite/xnnpack/fp32", "tflite/xnnpack/int8")
    assert ratio.speedup == pytest.approx(4.1 / 2.1)
    assert ratio.interval == pytest.approx((4.2 / 2.2, 2.0))


def test_the_document_leaves_nothing_out(ledger, run):
    document = run_document(ledger, run)
    assert {entry.target for entry in document.measurements} == {"tflite/xnnpack/fp32", "tflite/xnnpack/int8"}
    assert [(entry.target, entry.kind, entry.hint) for entry in document.failures] == [
        ("executorch/xnnpack/fp32", "compilation", "Use another.")
    ]
    assert {entry.target: entry.measured for entry in document.artifacts} == {
        "coreml/-/fp16": False,
        "tflite/xnnpack/fp32": True,
        "tflite/xnnpack/int8": True,
    }


def test_an_empty_ledger_says_how_to_fill_it(ledger: Ledger):
    assert "edgekit deploy" in markdown(rows_of(ledger))
    assert csv(rows_of(ledger)).startswith("recipe,variant,target,")


def test_a_failure_of_the_whole_run_is_told_without_gaps(ledger):
    run = ledger.begin_run("deploy", 0, {}, {})
    ledger.record_failure(run, Failure(FailureKind.ledger, "ledger", "Full.", ""), recipe="all", variant="")
    assert "- all all: ledger error: Full." in markdown(rows_of(ledger))


def test_variants_and_protocols_are_told_apart(ledger, run):
    other = ledger.begin_run("deploy", 0, {}, {})
    small = ledger.record_artifact(
        other, manifest("tflite/xnnpack/fp32", variant="0.35/96", model={"width": 0.35, "resolution": 96})
    )
    ledger.record_device("d", "host", {})
    summary = summarise([[MILLISECOND] * 3] * 2, [1, 1], [1, 1]).model_dump()
    for protocol in ("quick", "emulated"):
        id = ledger.begin_measurement(small, "d", "tflite/xnnpack/fp32", {"name": protocol})
        ledger.finish_measurement(id, verdict="preliminary", evidence="few", summary=summary, conditions={"before": {}})
    text = markdown(rows_of(ledger))
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    fp32 = [cells for cells in lines if "tflite/xnnpack/fp32" in cells]
    assert sorted((cells[1], cells[4]) for cells in fp32) == [
        ("v3_large 0.35/96", "emulated"),
        ("v3_large 0.35/96", "quick"),
        ("v3_large 1.0/224", "quick"),
    ]


def test_what_was_verified_before_a_failure_stays_in_its_row(ledger):
    run = ledger.begin_run("deploy", 0, {}, {})
    ledger.record_artifact(run, manifest("tflite/xnnpack/fp32"))
    failure = Failure(FailureKind.offline, "reach", "No phone.", "Attach one.")
    ledger.record_failure(
        run, failure, recipe="v3_large", variant="1.0/224", target="tflite/xnnpack/fp32", device="pixel"
    )
    (row,) = rows_of(ledger)
    assert row.result == "device offline"
    assert "109 dB, 16/16" in markdown([row])
    assert "22.0" in markdown([row])


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"weights": "net.pth 01234567, new head (seed 0)"}, False),
        ({"model": {"width": 1.0, "resolution": 224, "classes": 7}}, False),
        ({"model": {"width": 1.0, "resolution": 224, "classes": 1001}}, True),
    ],
)
def test_published_figures_are_of_the_published_network_only(ledger, changes, shown):
    run = ledger.begin_run("compile", 0, {}, {})
    ledger.record_artifact(run, manifest("tflite/xnnpack/fp32", **changes))
    (row,) = rows_of(ledger, run)
    assert bool(row.published_accuracy) == bool(row.paper) == shown
