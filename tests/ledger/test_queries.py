"""Filters, the newest of each cell and the centres of sessions, on SQLite and on PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from edgekit.ledger import Ledger, store

INT8, FP32 = "tflite/xnnpack/int8", "tflite/xnnpack/fp32"
PIXEL, BOARD = "0123456789abcdef", "fedcba9876543210"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request, tmp_path):
    """A ledger in either database."""
    url = f"sqlite:///{tmp_path}/l.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgresql")
    with Ledger.open(url) as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock is a second after the last one."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(store, "utc_now", lambda: START + timedelta(seconds=next(seconds)))


def record(ledger, run, recipe="v2", target=FP32, device=PIXEL, protocol="quick", **changes):
    built = {
        "sha256": f"{recipe}-{target}",
        "build_key": "k",
        "recipe": recipe,
        "recipe_hash": "h",
        "variant": "1.0/224",
    }
    built |= {"architecture": "net", "target": target, "format": "tflite", "size_bytes": 9, **changes}
    artifact = ledger.record_artifact(run, built)
    ledger.record_device(device, {PIXEL: "pixel", BOARD: "board"}[device], {"soc": device[:3]})
    id = ledger.begin_measurement(artifact, device, target, {"name": protocol})
    for block in range(3):
        samples = [1_000_000 * (block + 1), 1_500_000 * (block + 1)]
        ledger.add_session(id, block, load_ns=1, first_ns=1, samples=samples, environment={})
    ledger.finish_measurement(id, verdict="stable", evidence=None, summary={"id": id}, conditions={})
    return id


@pytest.fixture
def recorded(both, clock):
    """Name -> id of measurements, oldest first."""
    first, second = (both.begin_run("deploy", 1, {}, {}) for _ in range(2))
    return {
        "old": record(both, first),
        "old board": record(both, first, device=BOARD),
        "v1": record(both, first, recipe="v1"),
        "int8": record(both, second, target=INT8),
        "1t-big": record(both, second, protocol="1t-big"),
        "new": record(both, second),
        "retrained": record(both, second, recipe_hash="i", weights="own.pth"),
    }


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["old", "old board", "v1", "int8", "1t-big", "new", "retrained"]),
        ({"recipes": ["v1", "v3"]}, ["v1"]),
        ({"targets": [INT8]}, ["int8"]),
        ({"devices": ["board"]}, ["old board"]),
        ({"devices": [BOARD[:8]]}, ["old board"]),
        ({"devices": [BOARD[:7]]}, []),
        ({"devices": ["b%ard", "01234567%"]}, []),
        ({"protocols": ["1t-big"]}, ["1t-big"]),
        ({"recipes": ["v2"], "targets": [INT8, FP32], "protocols": ["1t-big"], "devices": ["pixel"]}, ["1t-big"]),
        ({"latest": True}, ["old board", "v1", "int8", "1t-big", "new", "retrained"]),
        ({"latest": True, "protocols": ["quick"], "devices": ["pixel"]}, ["v1", "int8", "new", "retrained"]),
    ],
)
def test_measurements_are_filtered_in_the_database(both, recorded, wanted, names):
    found = both.measurements(**wanted)
    assert [one.id for one in found] == [recorded[name] for name in reversed(names)]


def test_since_is_a_moment_of_any_zone(both, recorded):
    wanted = next(one.finished_at for one in both.measurements() if one.id == recorded["1t-big"])
    found = both.measurements(since=wanted.astimezone().astimezone(UTC) - timedelta(microseconds=1))
    assert [one.id for one in found] == [recorded[name] for name in ("retrained", "new", "1t-big")]
    assert [one.id for one in both.measurements(since=wanted + timedelta(microseconds=1))][-1] == recorded["new"]
    with pytest.raises(ValueError, match="has no time zone"):
        both.measurements(since=datetime(2026, 1, 1))


def test_the_latest_of_one_run_is_that_of_the_run(both, recorded):
    runs = [run.id for run in both.runs()]
    assert [one.id for one in both.measurements(runs[1], latest=True)] == [
        recorded[name] for name in ("v1", "old board", "old")
    ]


def test_centres_are_milliseconds_by_block_and_read_no_sample(both, recorded):
    statements = []
    event.listen(both._reader, "before_cursor_execute", lambda *given: statements.append(given[2]))
    found = both.session_centres([recorded["v1"], recorded["new"], 10**6])
    assert found == {recorded["v1"]: {0: 1.25, 1: 2.5, 2: 3.75}, recorded["new"]: {0: 1.25, 1: 2.5, 2: 3.75}, 10**6: {}}
    assert statements
    assert not any("samples" in statement for statement in statements)


def test_more_ids_than_a_statement_takes(both, recorded):
    found = both.session_centres(range(100_000))
    assert sum(bool(one) for one in found.values()) == len(recorded)


def test_equal_manifests_are_read_once(both, recorded):
    found = {one.id: one for one in both.measurements()}
    again, first, other = (found[recorded[name]].manifest for name in ("new", "old", "v1"))
    assert again is first
    assert other["recipe"] == "v1"
    assert {one.manifest["recipe"] for one in both.artifacts(latest=True)} == {"v1", "v2"}
    assert len(both.artifacts(latest=True)) == 4
    assert len(both.artifacts()) == 5


def test_a_manifest_that_changes_changes_the_model(both, clock):
    run = both.begin_run("deploy", 1, {}, {})
    record(both, run)
    (before,) = both.measurements()
    record(both, run, weights="own.pth")
    assert {one.model for one in both.measurements()} == {both.artifacts()[0].model}
    assert both.artifacts()[0].model != before.model
