"""The user's settings: what they change, and what is said of a wrong file."""

import pytest

from edgekit.config import settings as module
from edgekit.config.paths import cache_folder
from edgekit.config.settings import Settings, settings
from edgekit.errors import UsageError
from edgekit.ledger import Ledger


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return a function that writes the user's settings."""
    file = tmp_path / "config.toml"
    monkeypatch.setattr(module, "settings_file", lambda: file)
    return file.write_text


def test_without_a_file_nothing_is_set(written):
    assert settings() == Settings()


def test_the_cache_is_that_of_the_settings_unless_the_environment_names_one(written, tmp_path, monkeypatch):
    written(f'cache = "{tmp_path}/mine"\n')
    monkeypatch.delenv("EDGEKIT_CACHE", raising=False)
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other"


def test_the_ledger_is_that_of_the_settings(written, tmp_path, monkeypatch):
    written(f'ledger = "sqlite:///{tmp_path}/mine.sqlite"\n')
    monkeypatch.delenv("EDGEKIT_LEDGER", raising=False)
    with Ledger.open():
        assert (tmp_path / "mine.sqlite").is_file()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ledgr = 'x'\n", "unknown key ledgr"),
        ("device = 3\n", "key device: 3 is not text"),
        ("device = \n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(written, tmp_path, text, said):
    written(text)
    with pytest.raises(UsageError) as caught:
        settings()
    assert said in caught.value.failure.message
    assert str(tmp_path / "config.toml") in caught.value.failure.message
