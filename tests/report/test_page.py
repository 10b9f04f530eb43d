"""What the page holds, read as text: no browser is needed."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import small_ledger
import synthetic_ledger
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.ledger.models import model_hash
from edgekit.report.filters import Filters, chosen
from edgekit.report.order import Timed, compare_order
from edgekit.report.page import described, page, page_data, rendering
from edgekit.report.page.details import reproduction, thinned
from edgekit.report.page.packing import packed
from edgekit.report.rows import rows_of
from edgekit.selection.choosing import choose
from edgekit.selection.question import Question

SPEC = synthetic_ledger.Spec(recipes=5, devices=2, failures=0.15, seed=4)


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """Without the plotting library's 0.9 MB, which takes a second to put together."""
    monkeypatch.setattr(rendering, "library", lambda: "/* library */")


@pytest.fixture
def truth(ledger):
    return synthetic_ledger.write(ledger, SPEC)


class Elements(HTMLParser):
    """The start tags of a page, and the text of its data."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.data, self._in_data = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in_data = dict(attributes).get("id") == "data"

    def handle_data(self, data):
        if self._in_data:
            self.data += data

    def handle_endtag(self, tag):
        self._in_data = False


def data_of(text):
    return json.loads(Elements(text).data)


def points_of(data):
    columns = {
        name: [column["texts"][cell] for cell in column["cells"]] if isinstance(column, dict) else column
        for name, column in data["points"].items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_every_measurement_is_a_point_with_the_ledgers_numbers(ledger, truth):
    points = {point["id"]: point for point in points_of(data_of(page(ledger, rows_of(ledger), Filters())))}
    measured = {one.id: one for one in ledger.measurements(latest=True)}
    assert points.keys() == measured.keys() and len(points) == len(truth.measured)
    for id, point in points.items():
        summary = measured[id].summary
        assert point["latency"] == pytest.approx(summary["median"], rel=1e-5)
        assert point["low"] == pytest.approx(summary["interval"]["low"], rel=1e-5)
        assert point["high"] == pytest.approx(summary["interval"]["high"], rel=1e-5)
        assert point["size"] == measured[id].manifest["size_bytes"]
        assert f"{summary['median']:.2f}" in point["latency_text"]
        assert point["accuracy_kind"] == "measured" and "this artifact" in point["accuracy_text"]


def test_a_detail_has_the_sessions_and_the_conditions(ledger, truth):
    data = data_of(page(ledger, rows_of(ledger), Filters()))
    one = ledger.measurements(latest=True)[0]
    detail = data["details"][str(one.id)]
    sessions = ledger.sessions(one.id)
    assert detail["centres"] == pytest.approx([session.centre_ns / 1e6 for session in sessions], rel=1e-5)
    assert [len(samples) for samples in detail["samples"]] == [len(session.samples) for session in sessions]
    assert detail["samples"][2] == pytest.approx([sample / 1e6 for sample in sessions[2].samples], rel=1e-3)
    facts = dict(data["facts"][index] for index in detail["conditions"])
    assert facts["before.temperature_c"] == "31.5" and facts["run"] == one.run_id
    manifest = dict(data["facts"][index] for index in data["artifacts"][detail["artifact"]]["manifest"])
    assert manifest["sha256"] == one.artifact_sha256 and manifest["tools.torch"] == "2.13.0"
    statistics = dict(zip(data["statistics"], detail["statistics"], strict=True))
    assert statistics["p90"] == pytest.approx(one.summary["p90"], rel=1e-5)


def test_the_answers_are_those_of_select(ledger, truth):
    data = page_data(ledger, rows_of(ledger), Filters())
    for device in data.devices:
        document = choose(ledger, Question(devices=(device.id,)))
        ids = [one.latencies[0].measurement_id for one in document.candidates]
        answer = data.answers[device.id]
        assert [(one.low, one.id) for one in answer.budgets] == [(one.from_ms, ids[one.id]) for one in document.budgets]
        assert {one.id for one in answer.front} == {
            id for id, one in zip(ids, document.candidates, strict=True) if one.on_front
        }
        assert sum(answer.reasons.values()) == len(document.exclusions)


def test_what_takes_no_part_says_why(ledger):
    synthetic_ledger.write(ledger, replace(SPEC, interfered=0.4))
    points = points_of(data_of(page(ledger, rows_of(ledger), Filters())))
    noisy = [point for point in points if point["result"] == "noisy"]
    assert noisy and all(point["excluded"].startswith("too noisy: ") for point in noisy)
    assert any(point["excluded"] == "" for point in points)


def test_filters_apply_to_the_answers_too(ledger, truth):
    filters = Filters(recipes=["net01", "net02"], targets=["int8"])
    data = page_data(ledger, chosen(rows_of(ledger), filters), filters)
    assert data.targets == ["tflite/xnnpack/int8"]
    titles = data.points["title"]
    assert set(titles.texts) <= {"net01 1.0/224", "net02 1.0/224"}
    known = set(data.points["id"])
    assert {one.id for answer in data.answers.values() for one in answer.budgets} <= known
    assert described(filters) == "recipe net01, net02; target int8"


@pytest.mark.parametrize("of_runs", [False, True])
def test_pages_of_runs_recommend_nothing_and_say_so(ledger, truth, of_runs):
    text = page(ledger, rows_of(ledger), Filters(), of_runs=of_runs)
    assert ("No recommendation here" in text) is of_runs
    assert (data_of(text)["answers"] == {}) is of_runs


def test_failures_are_listed_with_their_reasons(ledger, truth):
    failures = data_of(page(ledger, rows_of(ledger), Filters()))["failures"]
    columns = {
        one["key"]: [one["cells"]["texts"][cell] for cell in one["cells"]["cells"]] for one in failures["columns"]
    }
    assert len(columns["recipe"]) == len(truth.failed) > 0
    assert sorted(columns["failure"]) == sorted(f"{recipe} crashed on {device}." for recipe, _, device in truth.failed)
    assert "failure_hint" not in columns  # none has one


def test_without_accuracies_published_ones_are_drawn_and_marked(ledger):
    run = ledger.begin_run("profile", 0, {"name": "1t-big"}, {})
    for recipe, milliseconds in (("v2", 60.0), ("v3_large", 44.0), ("v3_small", 14.0)):
        small_ledger.measure(ledger, run, recipe, small_ledger.FP32, milliseconds)
    points = points_of(data_of(page(ledger, rows_of(ledger), Filters())))
    known = [point for point in points if point["accuracy"] is not None]
    assert known and {point["accuracy_kind"] for point in known} == {"published"}
    assert all(point["accuracy_text"].endswith("% (published)") for point in known)


def test_published_accuracies_never_stand_among_measured_ones(ledger):
    small_ledger.fill(ledger)
    data = data_of(page(ledger, rows_of(ledger), Filters()))
    kinds = {}
    for point in points_of(data):
        kinds.setdefault(point["device"], set()).add(point["accuracy_kind"])
    assert kinds["aaaaaaaa1111"] == {"measured", ""}  # v3_small was not evaluated
    assert kinds["cccccccc3333"] == {"published"}  # nothing on it was
    assert {device: answer["kind"] for device, answer in data["answers"].items()} == {
        "aaaaaaaa1111": "measured",
        "bbbbbbbb2222": "measured",
        "cccccccc3333": "published",
    }


def test_an_interval_of_few_sessions_names_its_confidence(ledger):
    small_ledger.fill(ledger)
    points = points_of(data_of(page(ledger, rows_of(ledger), Filters())))
    assert {point["latency_text"].partition("] ")[2] for point in points} == {"ms", "ms 75%"}


def test_names_cannot_become_elements(ledger, truth):
    evil = "</script><script>alert(1)</script>"
    rows = [
        replace(row, recipe=evil) if row.recipe == "net01" else replace(row, evidence="<!--<script>")
        for row in rows_of(ledger)
    ]
    text = page(ledger, rows, Filters(protocols=[evil]))
    clean = page(ledger, rows_of(ledger), Filters())
    tags = [tag for tag, _ in Elements(text).tags]
    assert tags.count("script") == [tag for tag, _ in Elements(clean).tags].count("script")
    assert "alert(1)</script>" not in text
    assert any(point["title"].startswith(evil) for point in points_of(data_of(text)))


def test_nothing_is_loaded_from_elsewhere(ledger, truth):
    elements = Elements(page(ledger, rows_of(ledger), Filters()))
    for tag, attributes in elements.tags:
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith(("#", "data:")), attributes
    assert "url(" not in rendering.asset("page.css") and "@import" not in rendering.asset("page.css")


def test_an_empty_ledger_says_how_to_fill_it(ledger):
    assert "edgekit deploy recipes/v3_large.yaml --device host" in page(ledger, [], Filters())


def test_reproduction_is_a_command_of_the_measured_variant(ledger, truth):
    row = next(row for row in rows_of(ledger) if row.summary and row.recipe == "net02")
    manifest = {**row.manifest, "model": {**row.manifest["model"], "width": 0.5}, "weights": "random(7), settled"}
    deploy, evaluate = reproduction(replace(row, manifest=manifest))
    assert deploy.startswith(
        "edgekit deploy net02 --set model.width=0.5 --set model.resolution=224 --set 'weights={random: 7}'"
    )
    assert deploy.endswith(f"--target {row.target}")
    assert evaluate.startswith("edgekit evaluate net02 --set model.width=0.5") and evaluate.endswith("--data DIR")
    assert reproduction(replace(row, accuracy=None))[1] == ""
    assert model_hash(manifest) != row.model  # it is another model, so the command has to differ too


def test_samples_are_thinned_evenly():
    samples = [1_000_000 * number for number in range(1, 101)]
    assert thinned(samples, 200) == [float(number) for number in range(1, 101)]
    assert thinned(samples, 10) == [1.0, 11.0, 21.0, 31.0, 41.0, 51.0, 61.0, 71.0, 81.0, 91.0]
    assert len(thinned(samples, 30)) <= 30 and thinned([], 5) == []


def test_packing_nothing_is_empty():
    assert packed([]) == {}


def test_multiply_adds_are_compared_by_target_and_device(ledger, truth):
    data = page_data(ledger, rows_of(ledger), Filters())
    assert data.orders
    for order in data.orders:
        own = [
            one
            for one in ledger.measurements(latest=True)
            if (one.device_id, one.target) == (order.device, order.target)
        ]
        timed = [
            Timed(
                "",
                one.manifest["multiply_adds"],
                one.summary["median"],
                one.summary["interval"]["low"],
                one.summary["interval"]["high"],
            )
            for one in own
        ]
        expected = compare_order(timed, with_interval=False)
        assert (order.models, order.tau) == (len(own), pytest.approx(expected.tau))
        assert (order.same, order.other, order.undecided) == (expected.same, len(expected.other), expected.undecided)


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_a_missing_package_says_what_to_install(ledger, truth, monkeypatch, package):
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, package, None)
    rendering.library.cache_clear()
    with pytest.raises(EdgekitError, match="needs the package") as caught:
        page(ledger, rows_of(ledger), Filters())
    assert caught.value.failure.kind == FailureKind.missing_extra
    assert "edgekit[report]" in caught.value.failure.hint


def run(*arguments):
    return CliRunner().invoke(cli, ["report", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize("option", [["--table", "paper"], ["--against", "mobilenetv3-table3"], ["--format", "csv"]])
def test_the_page_has_no_other_format(ledger, truth, tmp_path, option):
    result = run("--html", tmp_path / "page.html", *option)
    assert isinstance(result.exception, UsageError)
    assert f"--html and {option[0]} exclude each other" in str(result.exception)
    assert not (tmp_path / "page.html").exists()


def test_the_command_writes_the_page(ledger, truth, tmp_path):
    result = run("--html", tmp_path / "page.html", "--device", "device0", "--columns", "recipe,target")
    assert result.exception is None and "page.html: written" in result.output
    data = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [device["label"].split()[0] for device in data["devices"]] == ["device0"]
    assert [one["key"] for one in data["tables"][0]["columns"]] == ["recipe", "target"]


def test_library_draws_and_ends_no_script(monkeypatch):
    monkeypatch.undo()
    text = rendering.library()
    assert "window.vegaEmbed" in text
    assert "</script" not in rendering.as_script(text) and "<!--" not in text
