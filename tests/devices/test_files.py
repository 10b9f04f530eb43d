"""What edgekit does with files on a device, over this computer's shell."""

from pathlib import Path

import pytest
from local_device import Box

from edgekit.devices import disk
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "some folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/it's.bin").write_bytes(bytes(range(256)))
    (folder / "run.sh").write_text("#!/bin/sh\necho hello\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def test_a_folder_arrives_whole_with_its_modes(box, folder):
    there = Path(box.push(folder))
    assert (there / "inner/it's.bin").read_bytes() == bytes(range(256))
    assert (there / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (there / "inner/it's.bin").stat().st_mode & 0o777 == 0o644
    assert box.left() == []


def test_what_is_there_is_not_sent_again_and_what_was_damaged_is(box, folder):
    there = Path(box.push(folder))
    box.link.sent.clear()
    assert box.push(folder) == str(there)
    assert box.link.sent == []
    (there / "inner/it's.bin").write_bytes(b"damaged")
    box.push(folder)
    assert box.link.sent == [folder / "inner/it's.bin"]
    assert (there / "inner/it's.bin").read_bytes() == bytes(range(256))


def test_another_content_has_another_name(box, tmp_path):
    (tmp_path / "file").write_text("one")
    one = box.push(tmp_path / "file")
    (tmp_path / "file").write_text("two")
    two = box.push(tmp_path / "file")
    assert one != two
    assert Path(one).read_text() == "one"


def test_a_file_that_arrives_changed_is_not_kept(box, folder, tmp_path):
    box.link.damage = b"!"
    with pytest.raises(EdgekitError, match=r"it's.bin arrived on box changed: SHA-256 \w{12}, not \w{12}") as raised:
        box.push(folder / "inner/it's.bin")
    assert raised.value.failure.kind == FailureKind.hash_mismatch
    assert box.left() == []
    assert [path for path in Path(box.root, "files").rglob("*") if path.is_file()] == []
    box.link.damage = b""
    there = box.push(folder / "inner/it's.bin")
    box.link.damage = b"!"
    with pytest.raises(EdgekitError, match="on box arrived changed"):
        box.pull(there, tmp_path / "back")


def test_the_rest_of_a_lost_push_is_removed_as_soon_as_the_device_is_back(box, folder, monkeypatch):
    send = box.link.send

    def lost(local, remote, timeout):
        send(local, remote, timeout)
        box.link.broken = 5
        box.link.fail_if_broken()

    monkeypatch.setattr(box.link, "send", lost)
    with pytest.raises(EdgekitError, match="The link is broken"):
        box.push(folder / "run.sh")
    assert len(box.left()) == 1
    box.link.broken = 0
    box.run(("true",), 10)
    assert box.left() == []


def test_a_file_comes_back_whole(box, folder, tmp_path):
    there = box.push(folder)
    box.pull(f"{there}/inner/it's.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(range(256))


def test_a_push_that_does_not_fit_is_refused_before_anything_is_sent(box, folder, monkeypatch):
    monkeypatch.setattr(disk, "SPARE_BYTES", 1 << 60)
    with pytest.raises(EdgekitError, match=r"MB free: run\.sh needs 0 MB") as raised:
        box.push(folder / "run.sh")
    assert raised.value.failure.kind == FailureKind.disk_full
    assert "edgekit device clean box" in raised.value.failure.hint
    assert box.link.sent == []


def test_a_failed_push_is_a_full_disk_only_if_the_disk_is_full(box, folder, monkeypatch):
    box.push(folder / "run.sh")
    lost = EdgekitError(FailureKind.link_lost, "device", "The link is broken.")
    unfinished = f"{box.root}/unfinished"
    assert box.disk.full_after(lost, unfinished, 1000, "file") is lost
    full = box.disk.full_after(lost, unfinished, 1 << 60, "file")
    assert full.failure.kind == FailureKind.disk_full
    assert "MB of file had no room" in full.failure.message
    monkeypatch.setattr(disk, "FULL_BYTES", 1 << 60)  # a file of full length whose blocks have no room
    Path(unfinished).write_bytes(bytes(1000))
    assert box.disk.full_after(lost, unfinished, 1000, "file").failure.kind == FailureKind.disk_full
    box.link.broken = 1
    assert box.disk.full_after(lost, unfinished, 1000, "file") is lost


def test_cleaning_removes_the_folder_and_nothing_beside_it(box, folder):
    box.push(folder)
    box.scratch("output")
    box.clean()
    assert not Path(box.root).exists()
    assert folder.is_dir()


def test_restoring_empties_the_scratch_folder(box):
    Path(box.scratch("output")).write_text("x")
    box.restore()
    assert list(Path(box.root, "work").iterdir()) == []


def test_a_folder_that_the_user_names_keeps_what_is_in_it(tmp_path):
    theirs = tmp_path / "mine"
    (theirs / "work").mkdir(parents=True)
    (theirs / "work/thesis").write_text("precious")
    box = Box(tmp_path, folder=str(theirs))
    assert box.root == f"{theirs}/edgekit-device"
    box.run(("true",), 30)
    box.clean()
    assert {path.name for path in theirs.rglob("*")} == {"work", "thesis"}
