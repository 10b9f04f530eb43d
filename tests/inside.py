"""The command line within the tests' own process: the same parsing, printing and exit codes, without starting Python."""

import codecs
import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess

import pytest
from fetched import ROOT

from edgekit.cli import cli, escaped
from edgekit.cli.failing import guarded


def in_this_process(*arguments, cwd=ROOT, env=None, encoding="utf-8"):
    """Return what `edgekit ARGUMENTS` prints in an encoding and its exit code, as `subprocess.run` does."""
    codecs.register_error("escape", escaped)
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding, "escape", write_through=True) for _ in range(2))
    command = ["edgekit", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", command)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        code = guarded(cli)
    texts = [stream.buffer.getvalue().decode(encoding) for stream in (output, errors)]
    return CompletedProcess(command, code, *texts)
