"""One job in a fresh process: converters are noisy, large and sometimes crash, and none of that may reach the user.

``python -m edgekit.worker module:function JOB.json RESULT.json`` calls ``function(job)``; what the job prints goes to a log.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, FailureKind

DISK_FULL = 28  # errno ENOSPC


def call(function: str, job: dict[str, Any], log: Path, timeout: float = 1800) -> Any:
    """Call ``module:function`` with `job` in a fresh process and return its result (JSON in, JSON out).

    What it prints is appended to `log`. An EdgekitError in the job is raised here again; a crash is EdgekitError (``crashed``,
    ``out_of_memory``), more than `timeout` seconds are ``timed_out``.
    """
    stage = str(job.get("stage", "work"))
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        question, answer = Path(folder) / "job.json", Path(folder) / "result.json"
        question.write_text(json.dumps(job), encoding="utf-8")
        with log.open("ab") as output:
            try:
                finished = subprocess.run(
                    [sys.executable, "-m", "edgekit.worker", function, str(question), str(answer)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    env={**os.environ, "PYTHONWARNINGS": "ignore"},
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                message = f"It took more than {timeout:.0f} s and was stopped. Log: {log}"
                raise EdgekitError(FailureKind.timed_out, stage, message, retriable=True) from error
        if not answer.is_file():
            raise _crash(finished.returncode, stage, log)
        result = json.loads(answer.read_text(encoding="utf-8"))
    if "failure" in result:
        raise EdgekitError(**{**result["failure"], "kind": FailureKind(result["failure"]["kind"])})
    return result["value"]


def _crash(status: int, stage: str, log: Path) -> EdgekitError:
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    # SIGKILL that nobody here sent is what the kernel's out-of-memory killer does.
    kind = FailureKind.out_of_memory if status == -9 else FailureKind.crashed
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return EdgekitError(kind, stage, f"The process ended with {how}: {' | '.join(last)}", f"Log: {log}", retriable=True)


def main(arguments: list[str]) -> None:
    """Run one job: the other side of :func:`call`."""
    function, question, answer = arguments
    job = json.loads(Path(question).read_text(encoding="utf-8"))
    module, _, name = function.partition(":")
    try:
        result: dict[str, Any] = {"value": getattr(importlib.import_module(module), name)(job)}
    except EdgekitError as error:
        result = {"failure": asdict(error.failure)}
    except ImportError as error:
        traceback.print_exc()
        message = f"A package is missing or broken: {error}."
        hint = "Install what conversion needs: pip install 'edgekit[convert]'."
        result = {
            "failure": asdict(EdgekitError(FailureKind.missing_extra, job.get("stage", "work"), message, hint).failure)
        }
    except Exception as error:  # noqa: BLE001  (whatever a converter raises is a result here; the traceback is in the log)
        traceback.print_exc()
        kind = (
            FailureKind.disk_full
            if getattr(error, "errno", None) == DISK_FULL
            else FailureKind(job.get("failure_kind", "internal"))
        )
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        result = {"failure": asdict(EdgekitError(kind, job.get("stage", "work"), message).failure)}
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
