import os
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from filelock import FileLock

from edgekit.cache.store import (
    SEAL,
    cached_folder,
    clean,
    content_sha256,
    content_size,
    entries,
    in_use,
    temporary_folder,
    unfinished,
)

KEY, OTHER = "a" * 64, "b" * 64
DAY = 86_400
SEALED = 64  # bytes of the hash of what an entry holds


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    """The folder of artifacts of a cache that holds KEY, made now, and OTHER, made ten days ago: 7 bytes each, and a seal."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for key, age in ((KEY, 0), (OTHER, 10 * DAY)):
        folder, _ = cached_folder(
            tmp_path / "artifacts", key, lambda made: (made / "model").write_text("content") and None
        )
        os.utime(folder, (time.time() - age,) * 2)
    return tmp_path / "artifacts"


def test_a_folder_is_made_once_and_found_again(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "file").write_text("content")

    first, there = cached_folder(tmp_path / "cache", "key", make)
    assert not there
    second, there = cached_folder(tmp_path / "cache", "key", make)
    assert there
    assert first == second
    assert (second / "file").read_text() == "content"
    assert len(made) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "unsealed", "a file"])
def test_what_was_changed_since_it_was_made_is_made_anew(tmp_path, damage):
    def make(folder):
        (folder / "file").write_text("content")

    folder, _ = cached_folder(tmp_path, "key", make)
    if damage == "changed":
        (folder / "file").write_text("contents")
    elif damage == "more":
        (folder / "another").touch()
    else:
        (folder / ("file" if damage == "missing" else SEAL)).unlink()
    if damage == "a file":
        (folder / "file").unlink()
        folder.rmdir()
        folder.touch()
    assert cached_folder(tmp_path, "key", make) == (folder, False)
    assert cached_folder(tmp_path, "key", make) == (folder, True)
    assert (folder / "file").read_text() == "content"


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(folder):
        (folder / "half").write_text("written")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        cached_folder(tmp_path, "key", fail)
    assert not (tmp_path / "key").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_two_who_want_the_same_make_it_once(tmp_path):
    made, found = [], []

    def make(folder):
        made.append(folder)
        time.sleep(0.2)

    threads = [threading.Thread(target=lambda: found.append(cached_folder(tmp_path, "key", make))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert sorted(there for _, there in found) == [False, True, True, True]


def test_the_hash_of_a_folder_sees_names_and_contents_and_no_order(tmp_path):
    for name, content in {
        "one": {"a": "1", "b/c": "2"},
        "two": {"b/c": "2", "a": "1"},
        "three": {"a": "2", "b/c": "1"},
    }.items():
        for file, text in content.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
    one, two, three = (content_sha256(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two != three
    assert content_size(tmp_path / "one") == 2


def test_what_a_killed_process_left_of_a_key_is_removed_before_it_is_made_again(tmp_path):
    for key in (KEY, OTHER):
        (tmp_path / f".{key[:12]}-killed").mkdir()
    seen = []
    cached_folder(tmp_path, KEY, lambda folder: seen.append((tmp_path / f".{KEY[:12]}-killed").exists()))
    assert seen == [False]
    assert (tmp_path / f".{OTHER[:12]}-killed").exists()


def test_entries_are_what_is_whole_newest_first(artifacts):
    (artifacts / f".{KEY[:12]}-killed").mkdir()
    found = entries("artifacts")
    told = [(one.key, one.size_bytes, round(one.age_seconds / DAY)) for one in found]
    assert told == [(KEY, 7 + SEALED, 0), (OTHER, 7 + SEALED, 10)]
    assert entries("models") == []


def test_cleaning_without_an_age_removes_leftovers_and_locks_of_nothing_only(artifacts):
    leftover, lock = artifacts / f".{KEY[:12]}-killed", artifacts / f"{'c' * 64}.lock"
    leftover.mkdir()
    (leftover / "half").write_text("12345")
    lock.touch()
    done = clean()
    assert (done.unfinished, done.locks, done.entries, done.size_bytes) == ([leftover], [lock], [], 5)
    assert sorted(path.name for path in artifacts.iterdir()) == [KEY, f"{KEY}.lock", OTHER, f"{OTHER}.lock"]


@pytest.mark.parametrize(("days", "stay"), [(11, [KEY, OTHER]), (9, [KEY]), (0, [])])
def test_cleaning_by_age_removes_entries_with_their_locks(artifacts, days, stay):
    done = clean(older_than_days=days)
    assert len(done.entries) == 2 - len(stay)
    assert done.size_bytes == (7 + SEALED) * len(done.entries)
    assert done.locks == []
    assert sorted(path.name for path in artifacts.iterdir()) == sorted([*stay, *(f"{key}.lock" for key in stay)])


def test_cleaning_removes_temporary_folders_of_yesterday(artifacts):
    with temporary_folder() as young:
        old, other = artifacts.parent / "edgekit-killed", artifacts.parent / "other-killed"
        for folder in (old, other):
            folder.mkdir()
            (folder / "half").write_text("12345")
            os.utime(folder, (time.time() - 2 * DAY,) * 2)
        done = clean()
        assert (done.unfinished, done.size_bytes) == ([old], 5)
        assert other.exists()
        assert os.path.exists(young)


@pytest.mark.parametrize("name", ["x", "x.lock"])
def test_a_dangling_link_and_a_folder_that_is_called_a_lock_are_entries_that_can_be_removed(artifacts, name):
    if name == "x":
        (artifacts / name).symlink_to("nowhere")
    else:
        (artifacts / name).mkdir()
    assert [one.path.name for one in entries("artifacts")] == [KEY, name, OTHER] or entries("artifacts")[0].key == name
    clean()
    assert name in {one.key for one in clean(older_than_days=0).entries}
    assert list(artifacts.iterdir()) == []


def test_cleaning_one_kind_leaves_the_others(artifacts):
    (artifacts.parent / "logs" / "run").mkdir(parents=True)
    assert [entry.kind for entry in clean(["logs"], 0).entries] == ["logs"]
    assert list((artifacts.parent / "logs").iterdir()) == []
    assert len(entries("artifacts")) == 2


def test_an_entry_whose_lock_is_held_stays(artifacts):
    with FileLock(artifacts / f"{KEY}.lock"):
        done = clean(older_than_days=0)
    assert [entry.key for entry in done.in_use] == [KEY]
    assert [entry.key for entry in done.entries] == [OTHER]
    assert (artifacts / KEY / "model").read_text() == "content"


def test_while_the_cache_is_in_use_every_entry_stays_and_leftovers_go(artifacts):
    leftover = artifacts / f".{KEY[:12]}-killed"
    leftover.mkdir()
    with in_use(), in_use():
        done = clean(older_than_days=0)
    assert {entry.key for entry in done.in_use} == {KEY, OTHER}
    assert (done.entries, done.unfinished) == ([], [leftover])
    assert len(clean(older_than_days=0).entries) == 2


def test_a_lock_that_sqlite_cannot_open_is_told_as_the_systems_refusal(artifacts):
    (artifacts.parent / "locks").mkdir()
    (artifacts.parent / "locks" / "cache.db").write_text("no database" * 1000)
    with pytest.raises(OSError, match="a lock there cannot be taken: file is not a database"), in_use():
        pass


def test_what_a_process_is_making_stays_until_it_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    program = (
        "import pathlib, time\nfrom edgekit.cache.store import cached_folder\n"
        f"root = pathlib.Path({str(tmp_path / 'models')!r})\n"
        f"cached_folder(root, {KEY!r}, lambda folder: (print('making', flush=True), time.sleep(60)))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as making:
        assert making.stdout.readline() == b"making\n"
        during, there = clean(older_than_days=0), unfinished("models")
        making.kill()
    assert (during.unfinished, during.locks) == ([], [])
    assert len(there) == 1
    after = clean()
    assert (after.unfinished, after.locks) == (there, [tmp_path / "models" / f"{KEY}.lock"])
    assert list((tmp_path / "models").iterdir()) == []
