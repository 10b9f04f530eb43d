import threading
import time

import pytest

from edgekit.cache import cached_folder, content_sha256, content_size


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
