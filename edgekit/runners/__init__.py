"""Programs that run on devices, and the host's way to have an artifact compute something."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.cache.store import file_sha256
from edgekit.errors import EdgekitError, FailureKind

PYTHON_RUNNER = Path(__file__).with_name("python_runner.py")
COREML_RUNNER = Path(__file__).with_name("coreml_runner.py")
DELEGATES = {"tflite": ("xnnpack",), "executorch": ("xnnpack",), "coreml": ("-",)}
"""Backend -> the delegates that edgekit's runners, Python's and native ones, really time."""
NATIVE_SOURCES = Path(__file__).with_name("native")
NAMES_ERROR = re.compile(r"\bERROR\b|\b\w*Error: |^E\d")
"""A line in which a runtime names an error: libraries log other things after it."""


def infer(
    artifact: Path, inputs: Iterable[NDArray[np.float32]], timeout: float = 300
) -> tuple[NDArray[np.float32], ...]:
    """Run examples through the artifact in the runner that also times it; one array (N, ...) for each of its inputs.

    The inputs are in the artifact's own layout.

    Returns one float32 array per output of the artifact, in its order and layout, images first. EdgekitError (``crashed``,
    ``timed_out``) with the runner's last words.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        question, answer = Path(folder) / "input.bin", Path(folder) / "output.bin"
        count = write_inputs(inputs, question)
        command = [
            sys.executable,
            str(PYTHON_RUNNER),
            "--model",
            str(artifact),
            "--input",
            str(question),
            "--output",
            str(answer),
        ]
        try:
            finished = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise EdgekitError(
                FailureKind.timed_out, "run", f"{artifact.name} ran for more than {timeout:.0f} s."
            ) from error
        if finished.returncode:
            raise EdgekitError(
                FailureKind.crashed,
                "run",
                f"{artifact.name} did not run: {last_words(finished.stdout, finished.stderr)}",
            )
        (load,) = (event for event in read_events(finished.stdout) if event["event"] == "load")
        return split_outputs(np.fromfile(answer, dtype=np.float32), count, load["output_shapes"])


def python_runner_facts(runner: Path = PYTHON_RUNNER) -> dict[str, Any]:
    """Return what a measurement records of a runner in Python, beside the name that it reports itself."""
    return {"runner_origin": f"edgekit {__version__}", "runner_sources": file_sha256(runner)[:12]}


def write_inputs(inputs: Iterable[NDArray[np.float32]], file: Path) -> int:
    """Write a runner's input file: example after example, of each all inputs. Returns the number of examples."""
    rows = [array.reshape(len(array), -1) for array in inputs]
    np.concatenate(rows, axis=1).astype(np.float32).tofile(file)
    return len(rows[0])


def split_outputs(values: NDArray[np.float32], images: int, shapes: list[list[int]]) -> tuple[NDArray[np.float32], ...]:
    """Take a runner's output file apart: one array (images, ...) per output of the given `shapes`, which begin with 1."""
    sizes = [prod(shape) for shape in shapes]
    columns = np.split(values.reshape(images, sum(sizes)), np.cumsum(sizes)[:-1], axis=1)
    return tuple(column.reshape(images, *shape[1:]) for column, shape in zip(columns, shapes, strict=True))


def read_events(stdout: str) -> list[dict[str, Any]]:
    """Return the JSON lines that a runner printed. Other output and incomplete lines are skipped."""
    events = []
    for line in stdout.splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(event, dict) and "event" in event:
            events.append(event)
    return events


def last_words(stdout: str, stderr: str) -> str:
    """Return what a runner said before it died: its error line, else the last that its standard error names, else that's end."""
    errors = [event["message"] for event in read_events(stdout) if event["event"] == "error"]
    lines = stderr.strip().splitlines()
    said = [line for line in lines if NAMES_ERROR.search(line)] or lines
    return str(errors[-1]) if errors else " | ".join(said[-3:]) or "nothing was said"
