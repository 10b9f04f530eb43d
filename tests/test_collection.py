"""Every test file is collected: pytest skips folders by their names, without a word."""

from fnmatch import fnmatch
from pathlib import Path

TESTS = Path(__file__).parent


def skipped(patterns):
    """Return the test files below a folder that matches one of pytest's patterns for folders to skip."""
    files = [file.relative_to(TESTS) for file in TESTS.rglob("test_*.py")]
    return [file for file in files if any(fnmatch(part, pattern) for part in file.parts[:-1] for pattern in patterns)]


def test_no_folder_of_tests_is_skipped_by_its_name(pytestconfig):
    assert skipped(pytestconfig.getini("norecursedirs")) == []


def test_the_check_finds_a_skipped_folder():
    assert {file.parts[0] for file in skipped(["build"])} == {"build"}


def test_every_file_of_tests_has_its_own_name():
    names = [file.name for file in TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names))  # pytest imports by name: of two it collects one
