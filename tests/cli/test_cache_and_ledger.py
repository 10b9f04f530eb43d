import json
import os

import jsonschema
import pytest
from filelock import FileLock

from edgekit.ledger import Ledger
from edgekit.schemas import committed

KEY = "a" * 64
FACTS = {"format": "tflite", "file": "model.tflite", "sha256": "d" * 64, "size_bytes": 1234}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with one artifact, a log, and what a killed process left of a model: 100 bytes."""
    root = tmp_path / "cache"
    monkeypatch.setenv("EDGEKIT_CACHE", str(root))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    for folder in (f"artifacts/{KEY}", "logs/run", f"models/.{KEY[:12]}-killed"):
        (root / folder).mkdir(parents=True)
    (root / "artifacts" / KEY / "facts.json").write_text(json.dumps(FACTS))
    (root / "models" / f".{KEY[:12]}-killed" / "half").write_bytes(bytes(100))
    return root


def test_cache_list_counts_kinds_and_shows_artifacts(edgekit, cache):
    done = edgekit("cache", "list")
    assert done.returncode == 0, done.stderr
    for part in (str(cache), "artifacts", "unfinished", "tflite", "1,234", "dddddddddddd"):
        assert part in done.stdout
    document = json.loads(edgekit("cache", "list", "--json").stdout)
    kinds = {row["kind"]: (row["number"], row["size_bytes"]) for row in document["kinds"]}
    facts = len(json.dumps(FACTS))
    assert kinds == {
        "weights": (0, 0),
        "models": (0, 0),
        "artifacts": (1, facts),
        "capsules": (0, 0),
        "evaluations": (0, 0),
        "logs": (1, 0),
        "unfinished": (1, 100),
    }
    jsonschema.validate(document, json.loads(committed("cache").read_text()))
    (artifact,) = document["artifacts"]
    assert artifact.pop("age_seconds") < 600
    facts = {"format": "tflite", "sha256": "d" * 64, "size_bytes": 1234}
    assert artifact == {"build_key": KEY, "facts": facts}


@pytest.mark.parametrize("damage", ["half a file", "no file", "a stray file"])
def test_a_damaged_artifact_is_listed_as_such_and_hides_no_other(edgekit, cache, damage):
    other = cache / "artifacts" / ("b" * 64)
    if damage == "a stray file":
        other.write_text("{")
    else:
        other.mkdir()
        if damage == "half a file":
            (other / "facts.json").write_text("{")
    done = edgekit("cache", "list")
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stdout
    assert "tflite" in done.stdout
    facts = {
        one["build_key"]: one["facts"] for one in json.loads(edgekit("cache", "list", "--json").stdout)["artifacts"]
    }
    assert facts["b" * 64] is None
    assert facts[KEY]


def test_cache_clean_says_what_it_removed(edgekit, cache):
    done = edgekit("cache", "clean")
    assert done.returncode == 0, done.stderr
    assert f"removed models/.{KEY[:12]}-killed" in done.stdout
    assert "100 bytes freed." in done.stdout
    assert (cache / "artifacts" / KEY).exists()
    assert (cache / "logs" / "run").exists()
    done = edgekit("cache", "clean", "--kind", "logs")
    assert "removed logs/run" in done.stdout
    assert (cache / "artifacts" / KEY).exists()
    assert "freed" in edgekit("cache", "clean", "--older-than", "1").stdout
    assert (cache / "artifacts" / KEY).exists()
    with FileLock(cache / "artifacts" / f"{KEY}.lock"):
        assert f"kept artifacts/{KEY}" in edgekit("cache", "clean", "--all").stderr
    assert f"removed artifacts/{KEY}" in edgekit("cache", "clean", "--all").stdout
    left = [path for path in cache.rglob("*") if path.parent != cache]
    assert [path.name for path in left] == ["cache.db"], left  # who is using the cache: a lock


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kind", "artefacts"), "Did you mean artifacts?"),
        (("--all", "--kind", "logs"), "--all removes everything"),
        (("--older-than", "-1"), "--older-than"),
        (("--older-than", "nan"), "--older-than"),
    ],
)
def test_wrong_options_of_clean_are_told_and_nothing_is_removed(edgekit, cache, options, said):
    before = sorted(cache.rglob("*"))
    done = edgekit("cache", "clean", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert sorted(cache.rglob("*")) == before


def test_ledger_info_and_vacuum(edgekit, ledger, tmp_path):
    ledger.finish_run(ledger.begin_run("deploy", 0, {}, {}), "done")
    ledger.close()
    done = edgekit("ledger", "info")
    assert done.returncode == 0, done.stderr
    for part in (str(tmp_path / "ledger.sqlite"), "1 runs", "runs: 1 done; from 20"):
        assert part in done.stdout
    document = json.loads(edgekit("ledger", "info", "--json").stdout)
    assert document["runs_by_status"] == {"done": 1}
    assert document["size_bytes"] > 0
    done = edgekit("ledger", "vacuum")
    assert "bytes before" in done.stdout
    jsonschema.validate(document, json.loads(committed("ledger").read_text()))
    done = edgekit("ledger", "vacuum", "--ledger", "sqlite://")
    assert done.returncode == 2
    assert "is only in memory" in done.stderr


def test_a_ledger_whose_path_is_not_utf8_can_be_told_of(edgekit, tmp_path):
    url = f"sqlite:///{tmp_path}/{os.fsdecode(bytes([0xFF]))}.sqlite"
    Ledger.open(url).close()
    done = edgekit("ledger", "info", "--json", "--ledger", url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["place"] == f"{tmp_path}/\\udcff.sqlite"
