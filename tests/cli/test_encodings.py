"""Output in an encoding that lacks some characters. Source of the fault: Textualize/rich#212."""

import codecs
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli import escaped
from edgekit.errors import Failure, FailureKind
from edgekit.ledger import Ledger

ROOT = Path(__file__).parents[2]
MESSAGE = "Größe ≤ 5 😀 \udcff"


@pytest.fixture
def ledger_url(tmp_path):
    """A ledger whose one failure has characters of every kind."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger.open(url) as ledger:
        run = ledger.begin_run("deploy", 0, {}, {})
        message = MESSAGE.replace("\udcff", "")
        ledger.record_failure(run, Failure(FailureKind.ledger, "ledger", message, ""), recipe="all", variant="")
    return url


def printed(encoding, ledger, *arguments):
    """Run the command line in a process with all its output in an encoding; return exit code, output and errors."""
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "EDGEKIT_LEDGER": ledger}
    command = [sys.executable, "-m", "edgekit", *arguments]
    done = subprocess.run(command, capture_output=True, env=env, check=False, cwd=ROOT)
    return done.returncode, done.stdout.decode(encoding, "replace"), done.stderr.decode(encoding, "replace")


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "utf-8"])
@pytest.mark.parametrize("format", ["markdown", "csv"])
def test_a_report_is_printed_in_any_encoding(edgekit, ledger_url, encoding, format):
    done = edgekit("report", "--format", format, "--ledger", ledger_url, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Größe" in done.stdout


def test_a_process_prints_in_the_encoding_that_it_finds(ledger_url):
    code, output, errors = printed("latin-1", ledger_url, "report", "--format", "markdown")
    assert (code, errors) == (0, "")
    assert "Größe" in output


@pytest.mark.parametrize(
    "command", [("recipes",), ("devices", "--help"), ("inspect", "v3_small"), ("cache", "list"), ("ledger", "info")]
)
def test_every_table_is_printed_in_latin_1(edgekit, ledger_url, command):
    done = edgekit(*command, env={"EDGEKIT_LEDGER": ledger_url}, encoding="latin-1")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_about_a_file_whose_name_is_no_text_is_printed(ledger_url):
    code, _, errors = printed("latin-1", ledger_url, "inspect", "no\udcffrecipe.yaml")
    assert code == 2
    assert "bug" not in errors


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_what_is_escaped_in_json_is_json(encoding):
    codecs.register_error("escape", escaped)
    written = json.dumps(MESSAGE, ensure_ascii=False).encode(encoding, "escape")
    assert json.loads(written.decode(encoding)) == MESSAGE
