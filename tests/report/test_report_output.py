import errno
import os

import pytest

from edgekit.errors import UsageError
from edgekit.report.output import format_of, write_whole


def test_the_name_of_a_file_stands_for_a_format(tmp_path):
    names = ("a.md", "a.csv", "a.tex", "a.json", "a.txt")
    assert [format_of(tmp_path / name) for name in names] == ["markdown", "csv", "latex", "json", "terminal"]
    with pytest.raises(UsageError, match="does not say which format"):
        format_of(tmp_path / "a.pdf")


def test_a_file_is_replaced_whole(tmp_path):
    file = tmp_path / "table.md"
    file.write_text("old, and longer than the new one")
    write_whole(file, "new – text\n")  # noqa: RUF001
    assert file.read_text(encoding="utf-8") == "new – text\n"  # noqa: RUF001
    assert os.listdir(tmp_path) == ["table.md"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real.md").write_text("old")
    (tmp_path / "link.md").symlink_to("real.md")
    write_whole(tmp_path / "link.md", "new")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "real.md").read_text() == "new"


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "table.md"
    file.write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.md"]


def test_what_is_no_place_for_a_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="not a regular file"):
        write_whole(tmp_path, "text")
    with pytest.raises(UsageError, match="not a regular file"):
        write_whole(tmp_path / "/dev/null", "text")
    with pytest.raises(UsageError, match=r"cannot be written: No such file or directory\."):
        write_whole(tmp_path / "missing/table.md", "text")
