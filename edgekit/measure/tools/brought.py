"""What the user's benchmark programs have in common."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Ended
from edgekit.runners import last_words

RESULT = "edgekit-result:"
WITH_RESULT = f"""result=$1; shift; rm -f "$result"; "$@"; status=$?
[ -f "$result" ] && echo "{RESULT}$(base64 "$result" | tr -d '\\n')"; exit $status"""
"""Runs a program and prints, after its output, the file that it wrote."""


@dataclass(frozen=True)
class Brought:
    """How a tool is started, what the profile adds to its command line, and facts that go into the conditions."""

    command: Sequence[str]
    extra: Sequence[str]
    facts: dict[str, Any]

    def values(self, file: Path, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the values of the outputs in a fetched file, one output after the other."""
        return np.fromfile(file, dtype=np.float32)


def results(text: str) -> list[bytes]:
    """Return the files that :data:`WITH_RESULT` printed."""
    return [base64.b64decode(encoded) for encoded in re.findall(rf"^{RESULT}(.*)$", text, re.M)]


def unreadable(ended: Ended, kind: str) -> EdgekitError:
    """Return the error of a program of this kind that ended well, and did not print what it prints."""
    said = last_words("", ended.completed.stderr or ended.completed.stdout)
    message = f"{ended.where}: the output of {kind} does not contain its results: {said}"
    return EdgekitError(
        FailureKind.crashed, "measure", message, "Check `kind` of the tool in the profile, and its version."
    )
