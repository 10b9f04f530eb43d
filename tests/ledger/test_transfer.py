"""A ledger goes through a file and comes back with nothing lost; the same rows twice are recognised."""

import gzip
import json
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.ledger import Ledger, store
from edgekit.ledger.exchange import TABLES, batches, table_of
from edgekit.ledger.transfer import export_ledger, import_ledger
from tests.synthetic_ledger import TARGETS, Spec, write

SUFFIXES = [".jsonl", ".jsonl.gz", ".parquet"]


def url_of(path):
    return f"sqlite:///{path}"


def content(url):
    """Everything in a ledger, rows referred to by what they are; in an order that does not depend on their numbers."""
    with Ledger.open(url) as opened, opened._reader.connect() as connection:
        rows = {table_of(row).name: [one for part in batches(connection, row) for one in part] for row in TABLES}
    artifacts = {
        one["id"]: (one["run_id"], one["recipe"], one["recipe_hash"], one["target"]) for one in rows["artifacts"]
    }
    for one in rows["measurements"]:
        one["artifact_id"] = artifacts[one["artifact_id"]]
    measured = {one["id"]: (one["artifact_id"], one["device_id"], one["started_at"]) for one in rows["measurements"]}
    for one in rows["sessions"]:
        one["measurement_id"] = measured[one["measurement_id"]]
    for name, found in rows.items():
        if name not in {"runs", "devices"}:
            for one in found:
                del one["id"]
    return {name: sorted(map(repr, found)) for name, found in rows.items()}


@pytest.fixture
def template(tmp_path_factory):
    """An empty ledger, to be copied: faster than making one."""
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    Ledger.open(url_of(path)).close()
    return path


@pytest.fixture
def new(template, tmp_path):
    """Make new, empty ledgers and return their addresses."""
    numbers = iter(range(10_000))

    def make():
        path = tmp_path / f"new{next(numbers)}.sqlite"
        shutil.copy(template, path)
        return url_of(path)

    return make


@pytest.fixture
def lab(new):
    """The ledger of a lab, with two repeats of everything and failures."""
    url = new()
    with Ledger.open(url) as opened:
        write(opened, Spec(recipes=3, targets=TARGETS[:2], devices=2, repeats=2, samples=5, failures=0.3, seed=1))
    return url


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_lost_and_a_second_import_adds_nothing(lab, new, tmp_path, suffix):
    file, other = tmp_path / f"lab{suffix}", new()
    rows = export_ledger(lab, file)
    assert all(rows.values())
    found = import_ledger(other, [file])
    assert {name: one.added for name, one in found.tables.items()} == rows
    assert content(other) == content(lab)
    again = import_ledger(other, [file, file])
    assert {(one.added, one.updated) for one in again.tables.values()} == {(0, 0)}
    assert {name: one.known // 2 for name, one in again.tables.items()} == rows
    assert content(other) == content(lab)


def test_two_labs_merge_in_either_order(lab, new, tmp_path):
    other, merged, reverse = new(), new(), new()
    with Ledger.open(other) as opened:
        write(opened, Spec(recipes=2, devices=3, samples=5, seed=2))
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for url, file in zip((lab, other), files, strict=True):
        export_ledger(url, file)
    import_ledger(merged, files)
    import_ledger(reverse, files[::-1])
    assert content(merged) == content(reverse)
    with Ledger.open(merged) as both, Ledger.open(lab) as one, Ledger.open(other) as two:
        assert len(both.measurements()) == len(one.measurements()) + len(two.measurements())
        assert len(both.runs()) == 3
        assert len(both.devices()) == 3
        ids = {m.started_at: m.id for m in both.measurements(run_id=two.runs()[0].id)}
        own = two.measurements()[0]
        assert both.sessions(ids[own.started_at])[0].samples == two.sessions(own.id)[0].samples


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
documents = st.dictionaries(text, json_values, max_size=3)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
columns = {
    "runs": {"id": text, "command": text, "seed": numbers, "protocol": documents, "plan": documents},
    "failures": {"recipe": text, "variant": text, "target": st.none() | text, "device": st.none() | text},
    "sessions": {"samples": st.lists(numbers, max_size=5), "environment": documents, "load_ns": numbers},
}


@st.composite
def ledgers(draw):
    """Rows by table: runs with failures, and one measurement with sessions; failures may be equal."""
    runs = draw(
        st.lists(st.fixed_dictionaries(columns["runs"]), min_size=1, max_size=3, unique_by=lambda one: one["id"])
    )
    for run in runs:
        run |= {"started_at": draw(moments), "finished_at": draw(st.none() | moments)}
        run |= {"edgekit_version": draw(text), "status": draw(text)}
    failure = st.fixed_dictionaries({**columns["failures"], "at": moments, "retriable": st.booleans()})
    failures = draw(st.lists(failure, max_size=3)) * draw(st.sampled_from([1, 2]))
    for one in failures:
        one |= {"run_id": runs[0]["id"], "artifact_sha256": None, "kind": "crashed", "stage": "s", "message": "m"}
        one |= {"hint": ""}
    built = {"run_id": runs[0]["id"], "sha256": "a", "build_key": "k", "recipe": draw(text), "recipe_hash": "h"}
    built |= {
        "variant": "v",
        "architecture": "n",
        "target": "t",
        "format": "f",
        "size_bytes": draw(st.integers(0, 2**62)),
    }
    artifact = {**built, "id": 7, "manifest": draw(documents), "model_hash": "m", "recorded_at": draw(moments)}
    measurement = {"id": 9, "artifact_id": 7, "device_id": "d", "target": "t", "protocol": draw(documents)}
    measurement |= {"protocol_name": draw(text), "kind": "measured", "started_at": draw(moments)}
    measurement |= {"finished_at": draw(st.none() | moments), "verdict": draw(st.none() | text), "evidence": None}
    measurement |= {"summary": draw(st.none() | documents), "conditions": draw(st.none() | documents)}
    sessions = draw(st.lists(st.fixed_dictionaries(columns["sessions"]), max_size=3))
    for block, one in enumerate(sessions):
        one |= {"measurement_id": 9, "block": block, "started_at": draw(st.none() | moments), "first_ns": 1}
        one |= {"centre_ns": draw(st.none() | st.floats(0, 1e15))}
    device = {"id": "d", "name": draw(text), "info": draw(documents), "first_seen": draw(moments)}
    return {
        "runs": runs,
        "devices": [device],
        "artifacts": [artifact],
        "measurements": [measurement],
        "sessions": sessions,
        "accuracies": [],
        "failures": failures,
    }


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=ledgers())
def test_whatever_a_ledger_holds_comes_back(new, tmp_path_factory, suffix, rows):
    url, other, folder = new(), new(), tmp_path_factory.mktemp("exported")
    with Ledger.open(url) as opened, opened._session(opened._writer) as session:
        for row in TABLES:
            if found := rows[table_of(row).name]:
                session.execute(insert(row), found)
    export_ledger(url, folder / f"x{suffix}")
    assert import_ledger(other, [folder / f"x{suffix}"]).tables["failures"].added == len(rows["failures"])
    assert content(other) == content(url)
    again = import_ledger(other, [folder / f"x{suffix}"])
    assert {one.added for one in again.tables.values()} == {0}


def test_a_run_that_went_on_after_an_export_is_brought_forward(new, tmp_path, monkeypatch):
    moments = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number) for number in range(100))
    monkeypatch.setattr(store, "utc_now", lambda: next(moments))
    url, other = new(), new()
    with Ledger.open(url) as opened:
        run = opened.begin_run("profile", 1, {}, {})
        manifest = dict.fromkeys(store.ARTIFACT_FIELDS, "x") | {"size_bytes": 1}
        artifact = opened.record_artifact(run, manifest)
        opened.record_device("d", "phone", {})
        id = opened.begin_measurement(artifact, "d", "t", {"name": "quick"})
        opened.add_session(id, 0, load_ns=1, first_ns=1, samples=[1], environment={})
        export_ledger(url, tmp_path / "early.jsonl")
        opened.add_session(id, 1, load_ns=1, first_ns=1, samples=[2], environment={})
        opened.finish_measurement(id, verdict="stable", evidence=None, summary={"a": 1}, conditions={})
        opened.record_artifact(run, {**manifest, "parity": "checked"})
        opened.finish_run(run, "done")
        export_ledger(url, tmp_path / "late.jsonl")
    import_ledger(other, [tmp_path / "early.jsonl"])
    found = import_ledger(other, [tmp_path / "late.jsonl"]).tables
    assert [found[name].updated for name in ("runs", "artifacts", "measurements")] == [1, 1, 1]
    assert (found["sessions"].added, found["sessions"].known) == (1, 1)
    assert content(other) == content(url)
    back = import_ledger(other, [tmp_path / "early.jsonl"]).tables
    assert {(one.added, one.updated) for one in back.values()} == {(0, 0)}
    assert content(other) == content(url)


def test_a_name_without_a_format_and_a_file_that_is_there_are_refused(lab, tmp_path):
    with pytest.raises(UsageError, match="does not say which format") as raised:
        export_ledger(lab, tmp_path / "lab.json")
    assert ".jsonl, .jsonl.gz, .parquet" in raised.value.failure.hint
    (tmp_path / "lab.jsonl").write_text("mine")
    with pytest.raises(UsageError, match="There is something at"):
        export_ledger(lab, tmp_path / "lab.jsonl")
    assert (tmp_path / "lab.jsonl").read_text() == "mine"
    with pytest.raises(UsageError, match="There is no file"):
        import_ledger(lab, [tmp_path / "none.jsonl"])
    with pytest.raises(UsageError, match="There is no ledger"):
        export_ledger(url_of(tmp_path / "none.sqlite"), tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda lines: lines[:-3], "so the file is incomplete"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "is not JSON, so the file is incomplete or was changed"),
        (lambda lines: lines[1:], "does not begin as one"),
        (lambda lines: ["hello"], "its first line is not JSON"),
        (lambda lines: [lines[0].replace('"edgekit_ledger": 1', '"edgekit_ledger": 2'), *lines[1:]], "a newer edgekit"),
        (lambda lines: [line.replace('"load_ns": 30000000', '"load_ns": "soon"') for line in lines], "load_ns: Input"),
        (lambda lines: [line.replace('"block": 0', '"block": 0, "extra": 1') for line in lines], "extra: Extra"),
        (lambda lines: [line.replace("+00:00", "") for line in lines], "should have timezone"),
        (lambda lines: [line.replace('"table": "sessions"', '"table": "other"') for line in lines], "no table other"),
        (
            lambda lines: [line.replace('"measurement_id": 1,', '"measurement_id": 999,') for line in lines],
            "number 999",
        ),
    ],
)
def test_a_file_that_is_not_whole_is_refused_and_leaves_the_ledger_as_it_was(lab, new, tmp_path, harm, said):
    file, other = tmp_path / "lab.jsonl", new()
    export_ledger(lab, file)
    file.write_text("\n".join(harm(file.read_text().splitlines())) + "\n")
    with pytest.raises(EdgekitError, match=said) as raised:
        import_ledger(other, [file])
    assert raised.value.failure.kind is FailureKind.ledger
    assert content(other) == content(new())


def test_a_gzip_file_that_was_cut_off_is_refused(lab, new, tmp_path):
    file = tmp_path / "lab.jsonl.gz"
    export_ledger(lab, file)
    with gzip.open(file, "rt") as opened:
        assert json.loads(opened.readline())["edgekit_ledger"] == 1
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(EdgekitError, match="not a complete gzip file"):
        import_ledger(new(), [file])


def test_a_parquet_folder_that_is_not_whole_is_refused(lab, new, tmp_path):
    folder = tmp_path / "lab.parquet"
    export_ledger(lab, folder)
    sessions = folder / "sessions.parquet"
    sessions.write_bytes(sessions.read_bytes()[:100])
    with pytest.raises(EdgekitError, match=r"sessions.parquet is damaged"):
        import_ledger(new(), [folder])
    sessions.unlink()
    with pytest.raises(EdgekitError, match=r"it has no sessions.parquet"):
        import_ledger(new(), [folder])


def test_parquet_is_for_pandas(lab, tmp_path):
    pd = pytest.importorskip("pandas")
    export_ledger(lab, tmp_path / "lab.parquet")
    sessions = pd.read_parquet(tmp_path / "lab.parquet/sessions.parquet")
    with Ledger.open(lab) as opened:
        first = opened.sessions(1)[0]
    assert sessions["samples"][0].tolist() == first.samples
    assert str(sessions["started_at"].dtype) == "datetime64[us, UTC]"


def test_an_export_that_fails_leaves_no_file(lab, tmp_path):
    path = lab.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE sessions SET samples = x'00' WHERE id = 5")
    connection.close()
    for suffix in SUFFIXES:
        with pytest.raises(EdgekitError, match="is damaged: samples are not compressed"):
            export_ledger(lab, tmp_path / f"lab{suffix}")
    assert {one.suffix for one in tmp_path.iterdir()} <= {".sqlite", ".lock"}


def test_a_postgresql_ledger_merges_too(lab, postgresql, tmp_path):
    export_ledger(lab, tmp_path / "lab.jsonl")
    import_ledger(postgresql, [tmp_path / "lab.jsonl"])
    assert content(postgresql) == content(lab)
    again = import_ledger(postgresql, [tmp_path / "lab.jsonl"])
    assert {(one.added, one.updated) for one in again.tables.values()} == {(0, 0)}
    with Ledger.open(postgresql) as opened:  # numbers go on after those that were imported
        run = opened.begin_run("deploy", 0, {}, {})
        opened.record_failure(run, Failure(FailureKind.crashed, "s", "m"), recipe="r", variant="v")
    export_ledger(postgresql, tmp_path / "back.jsonl")
