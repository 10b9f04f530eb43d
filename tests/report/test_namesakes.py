"""Models and devices that share a name. Sources: redis/redis-benchmarks-specification#18, nextest-rs/nextest#37."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from edgekit.errors import Failure, FailureKind
from edgekit.ledger.models import model_hash, network_hash
from edgekit.measure.statistics import summarise
from edgekit.report.document import run_document
from edgekit.report.rows import rows_of
from edgekit.report.tables import csv, markdown, terminal
from tests.report.test_tables import MILLISECOND, manifest

TARGET = "tflite/xnnpack/fp32"
MODEL = {"width": 1.0, "resolution": 224, "padding": "torch"}
V1, V2 = (
    {"recipe": "net", "architecture": name, "model": MODEL, "published": None}
    for name in ("mobilenet_v1", "mobilenet_v2")
)
SAME = {**V1, "model": {**MODEL, "padding": "same"}}
RETRAINED = {**V1, "weights": "net.pth", "weights_sha256": "a" * 64}


def measure(ledger, run, milliseconds, device="d1", name="host", os_build="Linux 6.1", **changes):
    artifact = ledger.record_artifact(run, manifest(TARGET, **changes))
    described = {"model": "a board", "os_build": os_build, "soc": "a chip"}
    ledger.record_device(device, name, described)
    id = ledger.begin_measurement(artifact, device, TARGET, {"name": "quick"})
    summary = summarise([[milliseconds * MILLISECOND] * 9] * 3, [1] * 3, [1] * 3).model_dump()
    conditions = {**described, "before": {}}
    ledger.finish_measurement(id, verdict="stable", evidence=None, summary=summary, conditions=conditions)


def begin(ledger, *recipes):
    planned = [
        {"recipe": {"name": "net", "architecture": one["architecture"], "model": one["model"]}} for one in recipes
    ]
    return ledger.begin_run("deploy", 0, {"name": "quick"}, {"recipes": planned})


def shown(rows):
    output = Console(file=io.StringIO(), width=170)
    output.print(terminal(rows, [], "title", 170))
    return output.file.getvalue()


@pytest.mark.parametrize("other", [V2, SAME, RETRAINED], ids=["architecture", "padding", "weights"])
def test_recipes_of_one_name_are_rows_of_their_own_in_every_output(ledger, other):
    for milliseconds, changes in ((4, V1), (7, other)):
        run = begin(ledger, changes)
        measure(ledger, run, milliseconds, recipe_hash=str(milliseconds), **changes)
    rows = rows_of(ledger)
    titles = {f"net #{model_hash(manifest(TARGET, **changes))} 1.0/224" for changes in (V1, other)}
    assert {row.title for row in rows} == titles
    assert len(titles) == 2
    for text in (markdown(rows), shown(rows)):
        assert all(title in text for title in titles)
    table = pd.read_csv(io.StringIO(csv(rows)))
    assert dict(zip(table["model_hash"], table["latency_ms_measured"], strict=True)) == {
        model_hash(manifest(TARGET, **V1)): 4,
        model_hash(manifest(TARGET, **other)): 7,
    }
    document = json.loads(run_document(ledger, run).model_dump_json())
    assert document["measurements"][0]["model_hash"] == document["artifacts"][0]["model_hash"]


def test_the_same_model_measured_again_is_one_row_whatever_its_description(ledger):
    for milliseconds in (4, 7):
        run = begin(ledger, V1)
        measure(ledger, run, milliseconds, recipe_hash=str(milliseconds), **V1)
    (row,) = rows_of(ledger)
    assert (row.title, row.summary["median"]) == ("net 1.0/224", 7)


def test_an_option_that_a_newer_edgekit_knows_makes_no_other_model():
    assert network_hash("mobilenet_v1", MODEL) == network_hash("mobilenet_v1", {**MODEL, "new_option": None})
    assert network_hash("mobilenet_v1", MODEL) != network_hash("mobilenet_v1", {**MODEL, "new_option": 1})


def test_a_failure_is_not_settled_by_another_model_of_the_name(ledger):
    run = begin(ledger, V1)
    failure = Failure(FailureKind.compilation, "compile", "No such operator.")
    ledger.record_failure(run, failure, recipe="net", variant="1.0/224", target=TARGET)
    measure(ledger, begin(ledger, V2), 7, **V2)
    assert sorted(row.status for row in rows_of(ledger)) == ["failed", "measured"]
    assert "net #not built 1.0/224" in markdown(rows_of(ledger))
    measure(ledger, begin(ledger, V1), 4, **V1)
    assert [row.status for row in rows_of(ledger)] == ["measured", "measured"]


def test_of_two_models_that_fail_under_one_name_both_are_shown(ledger):
    for recipe in (V1, V2):
        failure = Failure(FailureKind.compilation, "compile", f"No {recipe['architecture']}.")
        ledger.record_failure(begin(ledger, recipe), failure, recipe="net", variant="1.0/224", target=TARGET)
    text = markdown(rows_of(ledger))
    assert "No mobilenet_v1." in text
    assert "No mobilenet_v2." in text


def test_devices_of_one_name_can_be_told_apart_in_every_output(ledger):
    run = begin(ledger, V1)
    measure(ledger, run, 4, device="aaaaaaaa1111", os_build="Linux 6.1", **V1)
    measure(ledger, run, 7, device="bbbbbbbb2222", os_build="Linux 6.2", **V1)
    rows = rows_of(ledger)
    for text in (markdown(rows), shown(rows)):
        assert "host aaaaaaaa: a board, a chip, Linux 6.1; measured 20" in text
        assert "host bbbbbbbb: a board, a chip, Linux 6.2; measured 20" in text
    assert f"{rows[0].measured_at:%Y-%m-%d %H:%M}" in markdown(rows)
    table = pd.read_csv(io.StringIO(csv(rows))).set_index("device_id")
    assert dict(table["latency_ms_measured"]) == {"aaaaaaaa1111": 4, "bbbbbbbb2222": 7}
    assert list(table["os_build"]) == ["Linux 6.1", "Linux 6.2"]
    assert list(table["device_model"]) == ["a board", "a board"]
    assert set(table["measured_at"]) == {row.measured_at.isoformat() for row in rows}
    entries = run_document(ledger, run).measurements
    assert [(one.device, one.device_id, one.os_build, one.device_model) for one in entries] == [
        ("host", "aaaaaaaa1111", "Linux 6.1", "a board"),
        ("host", "bbbbbbbb2222", "Linux 6.2", "a board"),
    ]
    assert all(one.measured_at for one in entries)
