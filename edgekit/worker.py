"""One job in a fresh process: converters are noisy, large and sometimes crash, and none of that may reach the user.

``python -m edgekit.worker module:function JOB.json RESULT.json`` calls ``function(job)``; what the job prints goes to a log.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

from edgekit.errors import EdgekitError, FailureKind, missing_converters

NO_SPACE = os.strerror(errno.ENOSPC)
SOME_ROOM = 64 * 1024
"""Bytes: with less free, a log that is empty says that the disk was full."""


class Workers:
    """The processes of jobs that are under way; leaving the context, or :meth:`kill`, ends those that still run."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill every job's process group."""
        for process in list(self._running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def call(self, function: str, job: dict[str, Any], log: Path, timeout: float = 1800) -> Any:
        """Call ``module:function`` with `job` in a fresh process and return its result (JSON in, JSON out).

        What it prints replaces `log`. An EdgekitError in the job is raised here again; a crash is EdgekitError (``crashed``,
        ``out_of_memory``), more than `timeout` seconds are ``timed_out``.
        """
        stage = str(job.get("stage", "work"))
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            question, answer = Path(folder) / "job.json", Path(folder) / "result.json"
            question.write_text(json.dumps(job), encoding="utf-8")
            # -P: what lies in the user's current folder is not imported.
            command = [sys.executable, "-P", "-m", "edgekit.worker", function, str(question), str(answer)]
            with log.open("wb") as output:
                status = self._run(command, output, timeout)
            if status is None:
                message = f"It took more than {timeout:.0f} s and was stopped."
                raise EdgekitError(FailureKind.timed_out, stage, message, f"Log: {log}", retriable=True)
            if not answer.is_file():
                raise _crash(status, stage, log)
            result = json.loads(answer.read_text(encoding="utf-8"))
        if "failure" in result:
            raise EdgekitError(**{**result["failure"], "kind": FailureKind(result["failure"]["kind"])})
        return result["value"]

    def _run(self, command: list[str], output: IO[bytes], timeout: float) -> int | None:
        """Run to the end and return the exit status, None after `timeout` seconds."""
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._running.discard(process)


def _crash(status: int, stage: str, log: Path) -> EdgekitError:
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    # SIGKILL that nobody here sent is what the kernel's out-of-memory killer does.
    kind = FailureKind.out_of_memory if status == -signal.SIGKILL else FailureKind.crashed
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    # A full disk ends some converters on the spot, and then there may be no room for their last words either.
    if any(NO_SPACE in line for line in last) or (not last and shutil.disk_usage(log.parent).free < SOME_ROOM):
        kind, how = FailureKind.disk_full, f"{how} because the disk that holds {log.parent} is full"
    said = f": {' | '.join(last)}" if last else "."
    return EdgekitError(kind, stage, f"The process ended with {how}{said}", f"Log: {log}", retriable=True)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: a killed edgekit shall leave no converter at work."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """Run one job: the other side of :meth:`Workers.call`."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    function, question, answer = arguments
    job = json.loads(Path(question).read_text(encoding="utf-8"))
    module, _, name = function.partition(":")
    try:
        result: dict[str, Any] = {"value": getattr(importlib.import_module(module), name)(job)}
    except EdgekitError as error:
        result = {"failure": asdict(error.failure)}
    except ImportError as error:
        traceback.print_exc()
        result = {"failure": asdict(missing_converters(error).failure)}
    except Exception as error:  # noqa: BLE001  (whatever a converter raises is a result here; the traceback is in the log)
        traceback.print_exc()
        # Libraries written in other languages tell of a full disk in words only.
        kind = (
            FailureKind.disk_full
            if getattr(error, "errno", None) == errno.ENOSPC or NO_SPACE in str(error)
            else FailureKind(job.get("failure_kind", "internal"))
        )
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        result = {"failure": asdict(EdgekitError(kind, job.get("stage", "work"), message).failure)}
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
