"""The ledger records, survives, refuses in words, and answers."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.dialects import sqlite

from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.ledger import Ledger, database, store
from edgekit.ledger.schema import UTCDateTime

SHA = "a" * 64
TARGET = "tflite/xnnpack/fp32"
PROTOCOL = {"name": "1t-big", "sessions": 6}


def manifest(sha256: str = SHA, **changes: Any) -> dict[str, Any]:
    return {
        "sha256": sha256,
        "build_key": "key",
        "recipe": "v3_large",
        "recipe_hash": "hash",
        "variant": "1.0/224",
        "architecture": "mobilenet_v3",
        "target": TARGET,
        "format": "tflite",
        "size_bytes": 5_000_000_000,
        "inputs": [{"name": "image", "shape": [1, 224, 224, 3]}],
        **changes,
    }


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(url_of(path)) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every look at the clock is a second after the last one, so that what is newer is never left to chance."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(store, "utc_now", lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(seconds)))
    return


def begin(ledger: Ledger, run_id: str | None = None, **changes: Any) -> int:
    """Begin a measurement, with everything it refers to."""
    given = {"sha256": SHA, "device": "pixel-id", "target": TARGET, "protocol": PROTOCOL, **changes}
    run_id = run_id or ledger.begin_run("deploy", 1, PROTOCOL, {})
    artifact = ledger.record_artifact(run_id, manifest(given["sha256"], **changes.get("manifest", {})))
    ledger.record_device(given["device"], given["device"].removesuffix("-id"), {"model": "Pixel 3"})
    return ledger.begin_measurement(artifact, given["device"], given["target"], given["protocol"])


def measure(ledger: Ledger, run_id: str | None = None, **changes: Any) -> int:
    measurement = begin(ledger, run_id, **changes)
    ledger.finish_measurement(measurement, verdict="stable", evidence=None, summary={}, conditions={})
    return measurement


def add_session(ledger: Ledger, measurement: int, block: int, **changes: Any) -> None:
    given = {"load_ns": 3_000_000_000, "first_ns": 9, "samples": [1, 2, 3], "environment": {}, **changes}
    ledger.add_session(measurement, block, **given)


def fail(ledger: Ledger, run_id: str, stage: str = "measure", **what: Any) -> None:
    failure = Failure(FailureKind.crashed, stage, "It crashed.")
    ledger.record_failure(run_id, failure, recipe="v3_large", **{"variant": "1.0/224", **what})


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(url: str) -> Failure:
    with pytest.raises(EdgekitError) as caught:
        Ledger.open(url)
    return caught.value.failure


# Recording and reading back


def test_a_run_is_read_back_as_it_was_recorded(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    run_id = ledger.begin_run("deploy x.yaml", 2**40, PROTOCOL, {"cells": ["a", "b"]})
    (run,) = ledger.runs()
    assert (run.id, run.command, run.seed, run.protocol) == (run_id, "deploy x.yaml", 2**40, PROTOCOL)
    assert (run.plan, run.status, run.finished_at) == ({"cells": ["a", "b"]}, "running", None)
    assert before <= run.started_at <= datetime.now(UTC)
    ledger.finish_run(run_id, "interrupted")
    (run,) = ledger.runs()
    assert run.status == "interrupted"
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


@pytest.mark.usefixtures("clock")
def test_runs_are_newest_first(ledger: Ledger) -> None:
    ids = [ledger.begin_run("deploy", seed, {}, {}) for seed in range(5)]
    assert [run.id for run in ledger.runs()] == ids[::-1]


def test_a_measurement_is_read_back_joined_with_artifact_and_device(ledger: Ledger) -> None:
    run_id = ledger.begin_run("deploy", 1, PROTOCOL, {})
    measurement = begin(ledger, run_id, target="tflite/none/fp32")
    ledger.finish_measurement(
        measurement, verdict="noisy", evidence="CV 9 %", summary={"median_ns": 7}, conditions={"clock": None}
    )
    (found,) = ledger.measurements()
    assert (found.id, found.run_id, found.kind) == (measurement, run_id, "measured")
    assert (found.recipe, found.recipe_hash, found.architecture) == ("v3_large", "hash", "mobilenet_v3")
    assert (found.artifact_sha256, found.manifest) == (SHA, manifest())
    assert found.target == "tflite/none/fp32"  # of the measurement: one file serves several delegates
    assert (found.device_id, found.device_name, found.device_info) == ("pixel-id", "pixel", {"model": "Pixel 3"})
    assert (found.protocol, found.verdict, found.evidence) == (PROTOCOL, "noisy", "CV 9 %")
    assert (found.summary, found.conditions) == ({"median_ns": 7}, {"clock": None})
    assert found.started_at <= found.finished_at


def test_an_unfinished_measurement_is_not_shown_but_its_sessions_are_kept(ledger: Ledger) -> None:
    measurement = begin(ledger)
    add_session(ledger, measurement, 0)
    assert ledger.measurements() == []
    assert len(ledger.sessions(measurement)) == 1


def test_sessions_keep_every_sample_and_come_in_order_of_their_blocks(ledger: Ledger) -> None:
    measurement, other = begin(ledger), begin(ledger)
    add_session(ledger, measurement, 1)
    add_session(ledger, measurement, 0, samples=list(range(10_000)), environment={"core": 7})
    add_session(ledger, other, 0)
    first, second = ledger.sessions(measurement)
    assert (first.block, second.block) == (0, 1)
    assert first.samples == list(range(10_000))
    assert (first.load_ns, first.first_ns, first.environment) == (3_000_000_000, 9, {"core": 7})
    assert first.started_at is None


def test_a_failure_is_read_back_as_it_was_recorded(ledger: Ledger) -> None:
    run_id = ledger.begin_run("profile", 1, {}, {})
    failure = Failure(FailureKind.offline, "reach", "The phone is off.", "Plug it in.", retriable=True)
    ledger.record_failure(
        run_id, failure, recipe="v2", variant="1.0/224", target=TARGET, device="pixel", artifact_sha256=SHA
    )
    ledger.record_failure(run_id, Failure(FailureKind.recipe, "recipe", "No."), recipe="v1", variant="1.0/224")
    second, first = ledger.failures()
    assert first.failure == failure
    assert (first.run_id, first.recipe, first.target) == (run_id, "v2", TARGET)
    assert (first.device, first.artifact_sha256) == ("pixel", SHA)
    assert (second.target, second.device, second.artifact_sha256) == (None, None, None)


def test_a_kind_of_failure_from_a_newer_edgekit_is_still_shown(ledger: Ledger, path: Path) -> None:
    fail(ledger, ledger.begin_run("profile", 1, {}, {}))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE failures SET kind = 'melted'")
    (found,) = ledger.failures()
    assert (found.failure.kind, found.failure.message) == (FailureKind.internal, "It crashed.")


def test_recording_an_artifact_again_in_a_run_updates_it_and_keeps_its_measurements(ledger: Ledger) -> None:
    run = ledger.begin_run("deploy", 1, PROTOCOL, {})
    measure(ledger, run)
    first = ledger.artifacts(run)[0]
    assert first.manifest["size_bytes"] == 5_000_000_000
    assert ledger.record_artifact(run, manifest(size_bytes=6, parity="checked")) == first.id
    assert [artifact.id for artifact in ledger.artifacts(run)] == [first.id]
    assert ledger.measurements()[0].manifest["parity"] == "checked"


def test_equal_bytes_of_two_recipes_and_two_runs_are_kept_apart(ledger: Ledger) -> None:
    measure(ledger, manifest={"recipe": "one"})
    measure(ledger, manifest={"recipe": "two"})
    assert {m.recipe for m in ledger.measurements()} == {"one", "two"}
    assert {m.artifact_sha256 for m in ledger.measurements()} == {SHA}
    measure(ledger, manifest={"recipe": "two"})
    assert [artifact.recipe for artifact in ledger.artifacts()] == ["two", "two", "one"]
    assert [artifact.recipe for artifact in ledger.artifacts(latest=True)] == ["two", "one"]


def test_a_failed_compilation_is_settled_by_a_later_artifact_and_a_device_failure_is_not(
    ledger: Ledger, clock: None
) -> None:
    run = ledger.begin_run("compile", 0, {}, {})
    failed = Failure(FailureKind.compilation, "compile", "It did not compile.")
    ledger.record_failure(run, failed, recipe="v2", variant="1.0/224", target=TARGET)
    ledger.record_failure(run, failed, recipe="v2", variant="1.0/224", target="another/-/fp32")
    ledger.record_failure(run, failed, recipe="v2", variant="1.0/224", target=TARGET, device="pixel")
    assert len(ledger.failures(latest=True)) == 3
    ledger.record_artifact(run, manifest(recipe="v2", target=TARGET))
    assert {(f.target, f.device) for f in ledger.failures(latest=True)} == {("another/-/fp32", None), (TARGET, "pixel")}


def test_a_manifest_that_lacks_something_is_refused(ledger: Ledger) -> None:
    incomplete = manifest()
    del incomplete["recipe_hash"]
    with pytest.raises(EdgekitError, match="lacks recipe_hash"):
        ledger.record_artifact(ledger.begin_run("compile", 0, {}, {}), incomplete)


def test_recording_a_device_again_updates_it_and_keeps_when_it_was_first_seen(ledger: Ledger, path: Path) -> None:
    def rows() -> list[Any]:
        with sqlite3.connect(path) as connection:
            return connection.execute("SELECT name, info, first_seen FROM devices").fetchall()

    ledger.record_device("id", "pixel", {})
    ((_, _, first_seen),) = rows()
    ledger.record_device("id", "pixel3", {"soc": "SDM845"})
    assert rows() == [("pixel3", '{"soc": "SDM845"}', first_seen)]


# Time zones


# Not to the ends of the calendar, where another zone's moment has no UTC.
@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()))
@settings(deadline=None)
def test_a_moment_keeps_its_instant_and_comes_back_in_utc(moment: datetime) -> None:
    dialect = sqlite.dialect()
    stored = UTCDateTime().process_bind_param(moment, dialect)
    assert stored is not None
    assert stored.tzinfo is None
    returned = UTCDateTime().process_result_value(stored, dialect)
    assert returned == moment.astimezone(UTC)
    assert returned.tzinfo is UTC


def test_a_time_from_another_zone_goes_through_the_database(ledger: Ledger) -> None:
    measurement = begin(ledger)
    moment = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    add_session(ledger, measurement, 0, started_at=moment)
    (session,) = ledger.sessions(measurement)
    assert session.started_at == moment
    assert session.started_at.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    measurement = begin(ledger)
    with pytest.raises(EdgekitError, match="has no time zone"):
        add_session(ledger, measurement, 0, started_at=datetime(2026, 7, 1))
    assert ledger.sessions(measurement) == []


# The newest of each


@pytest.mark.usefixtures("clock")
def test_measurements_of_one_run_newest_first(ledger: Ledger) -> None:
    run_id = ledger.begin_run("deploy", 1, PROTOCOL, {})
    first, other, last = measure(ledger, run_id), measure(ledger), measure(ledger, run_id)
    assert [m.id for m in ledger.measurements()] == [last, other, first]
    assert [m.id for m in ledger.measurements(run_id)] == [last, first]
    assert [m.id for m in ledger.measurements(run_id, latest=True)] == [last]
    assert ledger.measurements("no such run") == []


@pytest.mark.usefixtures("clock")
def test_newest_means_finished_last(ledger: Ledger) -> None:
    early, late = begin(ledger), begin(ledger)
    for measurement in (late, early):
        ledger.finish_measurement(measurement, verdict="stable", evidence=None, summary={}, conditions={})
    assert [m.id for m in ledger.measurements(latest=True)] == [early]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 1),
        ({"protocol": {**PROTOCOL, "sessions": 12}}, 1),
        ({"sha256": "b" * 64}, 1),
        ({"protocol": {**PROTOCOL, "name": "quick"}}, 2),
        ({"target": "tflite/none/fp32"}, 2),
        ({"device": "board-id"}, 2),
        ({"sha256": "b" * 64, "manifest": {"recipe": "v2"}}, 2),
        ({"sha256": "b" * 64, "manifest": {"recipe_hash": "edited"}}, 1),  # a description, say
        ({"sha256": "b" * 64, "manifest": {"variant": "0.75/224"}}, 2),
    ],
)
def test_latest_keeps_the_newest_of_what_is_the_same(ledger: Ledger, change: dict[str, Any], kept: int) -> None:
    first, second = measure(ledger), measure(ledger, **change)
    assert [m.id for m in ledger.measurements(latest=True)] == [second, first][:kept]


@pytest.mark.usefixtures("clock")
def test_latest_failures_are_the_newest_of_each_recipe_target_and_device(ledger: Ledger) -> None:
    run_id = ledger.begin_run("profile", 1, {}, {})
    fail(ledger, run_id, "old", target=TARGET, device="pixel")
    fail(ledger, run_id, "board", target=TARGET, device="board")
    fail(ledger, run_id, "coreml", target="coreml/-/fp16", device="pixel")
    fail(ledger, run_id, "new", target=TARGET, device="pixel")
    assert [f.failure.stage for f in ledger.failures()] == ["new", "coreml", "board", "old"]
    assert [f.failure.stage for f in ledger.failures(latest=True)] == ["new", "coreml", "board"]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("what", "settled"),
    [
        ({"target": TARGET, "device": "pixel"}, True),
        ({"target": TARGET, "device": "pixel-id"}, True),
        ({"target": TARGET}, True),
        ({}, True),
        ({"target": "coreml/-/fp16", "device": "pixel"}, False),
        ({"target": TARGET, "device": "board"}, False),
        ({"variant": "0.75/224", "target": TARGET, "device": "pixel"}, False),
    ],
)
def test_a_later_measurement_settles_a_failure(ledger: Ledger, what: dict[str, Any], settled: bool) -> None:
    run_id = ledger.begin_run("profile", 1, {}, {})
    fail(ledger, run_id, "before", **what)
    measurement = begin(ledger)
    if what.get("device"):  # without one, the artifact alone settles it
        assert [f.failure.stage for f in ledger.failures(latest=True)] == ["before"]  # not finished, settles nothing
    ledger.finish_measurement(measurement, verdict="stable", evidence=None, summary={}, conditions={})
    assert [f.failure.stage for f in ledger.failures(latest=True)] == ([] if settled else ["before"])
    fail(ledger, run_id, "after", **what)
    assert [f.failure.stage for f in ledger.failures(latest=True)] == ["after"]
    assert len(ledger.failures()) == 2


@pytest.mark.usefixtures("clock")
def test_another_recipe_or_another_run_settles_nothing(ledger: Ledger) -> None:
    run_id = ledger.begin_run("profile", 1, {}, {})
    fail(ledger, run_id, target=TARGET, device="pixel")
    measure(ledger, sha256="b" * 64, manifest={"recipe": "v2"})
    assert len(ledger.failures(latest=True)) == 1
    measure(ledger)
    assert ledger.failures(latest=True) == []
    assert len(ledger.failures(run_id, latest=True)) == 1
    assert ledger.failures("no such run") == []


# What the database refuses


@pytest.mark.parametrize("missing", ["artifact", "device"])
def test_a_measurement_of_something_unknown_is_refused(ledger: Ledger, missing: str) -> None:
    known: dict[str, Any] = {"artifact": ledger.record_artifact(ledger.begin_run("deploy", 1, {}, {}), manifest())}
    ledger.record_device("id", "pixel", {})
    known["device"] = "id"
    ledger.begin_measurement(known["artifact"], known["device"], TARGET, PROTOCOL)
    known[missing] = {"artifact": 99, "device": "unknown"}[missing]
    with pytest.raises(EdgekitError, match="FOREIGN KEY") as caught:
        ledger.begin_measurement(known["artifact"], known["device"], TARGET, PROTOCOL)
    assert caught.value.failure.kind is FailureKind.ledger


def test_a_block_is_recorded_once(ledger: Ledger) -> None:
    measurement = begin(ledger)
    add_session(ledger, measurement, 0, samples=[1])
    with pytest.raises(EdgekitError, match="UNIQUE"):
        add_session(ledger, measurement, 0, samples=[2])
    assert [s.samples for s in ledger.sessions(measurement)] == [[1]]


def test_finishing_what_was_never_begun_is_refused(ledger: Ledger) -> None:
    with pytest.raises(EdgekitError, match="has no 'nope' among its runs"):
        ledger.finish_run("nope", "done")
    with pytest.raises(EdgekitError, match="has no 7 among its measurements"):
        ledger.finish_measurement(7, verdict="stable", evidence=None, summary={}, conditions={})


def test_a_locked_ledger_says_so_and_can_be_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    with Ledger.open(url_of(path)) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EdgekitError, match="held by another process") as caught:
            ledger.begin_run("deploy", 1, {}, {})
        assert caught.value.failure.kind is FailureKind.ledger
        assert caught.value.failure.retriable
        assert str(path) in caught.value.failure.message
        assert ledger.runs() == []  # reading goes on
        other.close()
        ledger.begin_run("deploy", 1, {}, {})
        assert len(ledger.runs()) == 1


def test_nobody_else_writes_between_the_reading_and_the_writing_of_a_recording(ledger: Ledger, path: Path) -> None:
    other = sqlite3.connect(path, timeout=0)
    refusals = []

    def intrude(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("SELECT"):
            try:
                other.execute("DELETE FROM runs")
                other.commit()
            except sqlite3.OperationalError as error:
                refusals.append(str(error))

    event.listen(ledger._reader, "after_cursor_execute", intrude)
    ledger.record_device("id", "pixel", {})
    other.close()
    assert refusals == ["database is locked"]


@pytest.mark.parametrize(
    ("pragma", "kind", "sentence"),
    [
        ("PRAGMA max_page_count = 1", FailureKind.disk_full, "the disk is full"),
        ("PRAGMA query_only = ON", FailureKind.ledger, "read-only"),
    ],
)
def test_a_ledger_that_cannot_be_written_says_why(
    ledger: Ledger, pragma: str, kind: FailureKind, sentence: str
) -> None:
    with ledger._reader.connect() as connection:
        connection.exec_driver_sql(pragma)
    with pytest.raises(EdgekitError, match=sentence) as caught:
        ledger.begin_run("x" * 1_000_000, 1, {}, {})
    assert (caught.value.failure.kind, caught.value.failure.stage) == (kind, "ledger")
    assert caught.value.failure.hint
    assert ledger.runs() == []


def test_a_damaged_ledger_says_so(path: Path) -> None:
    with Ledger.open(url_of(path)) as ledger:
        for _ in range(200):
            ledger.begin_run("x" * 1000, 1, {}, {})
    content = bytearray(path.read_bytes())
    content[120_000:] = bytes(len(content) - 120_000)
    path.write_bytes(content)
    with Ledger.open(url_of(path)) as ledger, pytest.raises(EdgekitError, match="is damaged"):
        ledger.runs()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE measurements SET summary = '{'", "is damaged: Expecting property name"),
        ("UPDATE measurements SET finished_at = 'yesterday'", "is damaged: .*'yesterday'"),
        (
            "UPDATE artifacts SET manifest = '{}'",
            "is damaged: the manifest of v3_large tflite/xnnpack/fp32 has no sha256",
        ),
    ],
)
def test_a_ledger_that_holds_what_no_edgekit_wrote_is_damaged(ledger: Ledger, harm: str, said: str) -> None:
    measure(ledger)
    with ledger._reader.connect() as connection:
        connection.exec_driver_sql(harm)
        connection.commit()
    with pytest.raises(EdgekitError, match=said) as caught:
        ledger.measurements()
    assert caught.value.failure.kind is FailureKind.ledger
    assert "Restore a copy" in caught.value.failure.hint
    if "artifacts" in harm:
        with pytest.raises(EdgekitError, match=said):
            ledger.artifacts()


def test_a_ledger_with_two_revisions_is_damaged(ledger: Ledger, path: Path) -> None:
    with ledger._reader.connect() as connection:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('another')")
        connection.commit()
    assert "is damaged: its tables have several revisions" in refused(url_of(path)).message


def test_a_run_that_is_under_way_is_gone_on_with_by_one_process_only(ledger: Ledger) -> None:
    process = {"host": "board", "pid": 7}
    run = ledger.begin_run("profile", 1, {}, {"process": process})
    assert not ledger.restart_run(run, {"process": {"host": "here", "pid": 8}})
    assert ledger.runs()[0].plan == {"process": process}
    assert ledger.restart_run(run, {"process": {"host": "here", "pid": 8}}, gone=process)
    assert not ledger.restart_run(run, {"process": {"host": "here", "pid": 9}}, gone=process)
    ledger.finish_run(run, "interrupted")
    assert ledger.restart_run(run, {})


# Opening


@pytest.mark.parametrize("content", [b"short", b"not a database, but a long text\n" * 1000])
def test_a_file_that_is_no_database_is_refused_untouched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    failure = refused(url_of(path))
    assert failure.kind is FailureKind.ledger
    assert failure.message == f"The ledger {path} is not a ledger: the file is not a database."
    assert "--ledger" in failure.hint
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    for must_exist in (False, True):
        with pytest.raises(EdgekitError, match=f"The ledger {tmp_path} cannot be opened") as caught:
            Ledger.open(url_of(tmp_path), must_exist)
        assert caught.value.failure.kind is FailureKind.ledger
        assert "not a folder" in caught.value.failure.hint


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failure = refused(url_of(tmp_path / "file" / "deep" / "ledger.sqlite"))
    assert failure.kind is FailureKind.ledger
    assert str(tmp_path / "file") in failure.message
    assert "may be written" in failure.hint


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write into")
def test_a_folder_that_cannot_be_written_is_refused() -> None:
    failure = refused("sqlite:////proc/ledger.sqlite")
    assert failure.kind is FailureKind.ledger
    assert "/proc/ledger.sqlite" in failure.message
    assert "may be written" in failure.hint


@pytest.mark.parametrize(
    "url", ["ledger.sqlite", "nosuchdatabase://x", "mysql://me:secret@host:port/x", "sqlite:////x.sqlite?timeout=abc"]
)
def test_an_address_that_makes_no_sense_is_refused_without_showing_a_password(url: str) -> None:
    failure = refused(url)
    assert failure.kind is FailureKind.ledger
    assert failure.message.endswith("is not the address of a ledger.")
    assert "sqlite:////" in failure.hint
    assert "secret" not in failure.message


def test_a_missing_driver_is_named() -> None:
    failure = refused("sqlite+pysqlcipher://:secret@/x")
    assert "pysqlcipher3" in failure.message
    assert "pysqlcipher3" in failure.hint
    assert "secret" not in failure.message


def test_the_default_is_the_environment_then_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "user_data_dir", lambda name: str(tmp_path / "data" / name))
    monkeypatch.setenv("EDGEKIT_LEDGER", url_of(tmp_path / "chosen.sqlite"))
    Ledger.open().close()
    assert (tmp_path / "chosen.sqlite").exists()
    assert not (tmp_path / "data").exists()
    monkeypatch.delenv("EDGEKIT_LEDGER")
    Ledger.open().close()
    assert (tmp_path / "data" / "edgekit" / "ledger.sqlite").exists()


def test_the_connection_is_set_up_and_closing_leaves_one_tidy_file(path: Path) -> None:
    with Ledger.open(url_of(path)) as ledger:
        ledger.begin_run("deploy", 1, {}, {})
        with ledger._reader.connect() as connection:
            values = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "busy_timeout")
            ]
    assert values == ["wal", 1, 10_000]
    assert not path.with_name("ledger.sqlite-wal").exists()
    with Ledger.open(url_of(path)) as ledger:
        assert len(ledger.runs()) == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_in_memory_would_lose_everything_and_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="lost when edgekit ends"):
        Ledger.open(url)


@pytest.mark.parametrize("url", ["sqlite:///file::memory:?uri=true", "sqlite:////x.sqlite?mode=memory"])
def test_sqlites_own_form_of_an_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is written in SQLite's own form"):
        Ledger.open(url, must_exist=True)


@pytest.mark.parametrize("content", [None, b""])
def test_a_ledger_that_is_only_read_is_not_made(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "folder" / "ledger.sqlite"
    if content is not None:
        file.parent.mkdir()
        file.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=f"There is no ledger at {file} yet."):
        Ledger.open(f"sqlite:///{file}", must_exist=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert not content


def test_importing_the_ledger_stays_light() -> None:
    code = "import sys, edgekit.ledger; print([m for m in ('torch', 'pandas', 'numpy', 'alembic') if m in sys.modules])"
    out, errors = python(code).communicate(timeout=60)
    assert (out.strip(), errors) == ("[]", "")


# Several processes, and processes that die

OPENER = """
import sys
from edgekit.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
with Ledger.open(sys.argv[1]) as ledger:
    for i in range(5):
        ledger.begin_run("deploy", i, {}, {})
        ledger.record_device("same", "pixel", {"i": i})
"""

MEASURER = """
import sys
from edgekit.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
for block in range(1_000_000):
    ledger.add_session(int(sys.argv[2]), block, load_ns=1, first_ns=2, samples=[block] * 500, environment={})
    print(block, flush=True)
"""


def test_processes_that_open_a_new_ledger_at_once_all_succeed(path: Path) -> None:
    processes = [python(OPENER, url_of(path)) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 4
    with Ledger.open(url_of(path)) as ledger:
        assert len(ledger.runs()) == 20


def test_only_one_process_sets_up_a_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_S", 0.05)
    with FileLock(f"{path}.lock"):
        failure = refused(url_of(path))
        assert (failure.kind, failure.retriable) == (FailureKind.ledger, True)
        assert f"setting up the ledger {path}" in failure.message
    Ledger.open(url_of(path)).close()
    with FileLock(f"{path}.lock"):
        Ledger.open(url_of(path)).close()  # there is nothing to set up any more


def test_what_was_measured_survives_a_kill(path: Path) -> None:
    with Ledger.open(url_of(path)) as ledger:
        measurement = begin(ledger)
    process = python(MEASURER, url_of(path), str(measurement))
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(20)]
    process.kill()
    # Not by communicate(), which would pass over what is already in the buffer.
    told += [int(line) for line in process.stdout]
    assert process.wait(timeout=60) == -signal.SIGKILL
    with Ledger.open(url_of(path)) as ledger:
        kept = ledger.sessions(measurement)
        # The last one may have been committed and not told.
        assert [session.block for session in kept[: len(told)]] == told
        assert len(kept) <= len(told) + 1
        assert all(session.samples == [session.block] * 500 for session in kept)
        add_session(ledger, measurement, len(kept))
