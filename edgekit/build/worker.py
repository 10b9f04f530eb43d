"""Jobs in separate processes, because converters print much, need much memory and sometimes crash.

Loading a converter is slow. So a job's process is forked from a warm process that has loaded the converter
and has run nothing else. ``python -m edgekit.build.worker MODULE ...`` is the warm process: it forks a process
for each line that it reads and reports how the process ended.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import psutil
from pydantic import BaseModel, ConfigDict

from edgekit.cache.store import temporary_folder
from edgekit.errors import FREE_SPACE, EdgekitError, FailureKind, disk_is_full, missing_converters

SOME_ROOM = 64 * 1024
"""Bytes: with less free, a log that is empty says that the disk was full."""
MEMORY_EACH = 2 * 2**30
"""One warm process may wait per so many bytes of memory."""
STARTED, ENDED = "started", "ended"
"""How a warm process begins its lines: the number of a job's process, and its exit status."""
READ_WHEN_LOADING = ("PYTHON", "LD_", "OMP_", "OPENBLAS_", "MKL_")
"""How environment variables begin that only count when libraries are loaded: processes are warm for their values."""


class Job(BaseModel):
    """The task of a separate process and its data. A subclass adds the fields that its function reads.

    The class has to be importable by name in that process, which validates the fields as they arrive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: ClassVar[str]
    """``module:function``: takes the job and returns what JSON can hold."""
    stage: ClassVar[str]
    """The stage of its failures."""
    failure_kind: ClassVar[FailureKind] = FailureKind.internal
    """The kind of an error that is not an EdgekitError."""


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use; on macOS, which has no affinity, all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """The processes of running jobs. The end of the context, or :meth:`kill`, stops them.

    Each of `at_once` jobs gets its share of the CPUs, unless OMP_NUM_THREADS is set. OpenMP threads that share a CPU
    wait for each other at every operator: calibration was six times as slow on two CPUs.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._running: set[_Warm] = set()
        self._threads = max(1, usable_cpus() // at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill every job's process group."""
        for process in list(self._running):
            process.kill()

    def call(self, job: Job, log: Path, timeout: float = 1800, modules: tuple[str, ...] = ()) -> Any:
        """Do a job in a fresh process and return the result of its function, from JSON.

        Its output replaces `log`. An EdgekitError in the job is raised here again. A crash is EdgekitError (``crashed``,
        ``out_of_memory``), more than `timeout` seconds are ``timed_out``. `modules` are loaded in the warm process,
        which stays for the next job that names them.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        environment = {
            "OMP_NUM_THREADS": str(self._threads),
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "TQDM_DISABLE": "1",
        }
        with temporary_folder() as folder, _warm(modules, environment) as process:
            question, answer = Path(folder) / "job.json", Path(folder) / "result.json"
            # Pydantic's own JSON has no room for a path that is not UTF-8.
            question.write_text(json.dumps(job.model_dump(mode="json")), encoding="utf-8")
            self._running.add(process)
            try:
                # What converters leave in the folder of temporary files goes with this one.
                own = {**environment, "TMPDIR": folder}
                status = process.run(
                    [f"{type(job).__module__}:{type(job).__qualname__}", str(question), str(answer), str(log)],
                    own,
                    timeout,
                )
            finally:
                self._running.discard(process)
            if status is None:
                message = f"It took more than {timeout:.0f} s and was stopped."
                raise EdgekitError(FailureKind.timed_out, job.stage, message, f"Log: {log}", retriable=True)
            if not answer.is_file():
                raise _crash(status, job.stage, log)
            result = json.loads(answer.read_text(encoding="utf-8"))
        if "failure" in result:
            raise EdgekitError(**{**result["failure"], "kind": FailureKind(result["failure"]["kind"])})
        return result["value"]


class _Warm:
    """A process that has modules loaded and forks the processes of jobs, one at a time."""

    def __init__(self, modules: tuple[str, ...], environment: dict[str, str]) -> None:
        self.key = _key(modules, environment)
        self._job: int | None = None
        self._sound = True
        self._killed = False
        # -P: what lies in the user's current folder is not imported.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edgekit.build.worker", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            text=True,
        )

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return self._process.poll() is None and self._sound

    def run(self, arguments: list[str], environment: dict[str, str], timeout: float) -> int | None:
        """Run one job to its end and return its exit status (minus the signal that killed it); None after `timeout` seconds."""
        assert self._process.stdin and self._process.stdout
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            self.kill()

        timer = threading.Timer(timeout, stop)
        timer.daemon = True
        timer.start()
        self._sound = False  # until it has answered
        try:
            request = {"arguments": arguments, "environment": environment, "folder": _current_folder()}
            with suppress(BrokenPipeError):
                print(json.dumps(request), file=self._process.stdin, flush=True)
            status = self._ended()
        finally:
            timer.cancel()
            self._end_job()
            self._job = None
        self._sound = status is not None and not self._killed
        # A process that was killed answers nothing, which looks like a job that was killed.
        return None if timed_out.is_set() else -signal.SIGKILL if status is None else status

    def _ended(self) -> int | None:
        """Wait for the job's end and return its exit status; None if it is unknown."""
        assert self._process.stdout
        for line in self._process.stdout:
            word, number = line.split()
            if word == ENDED:
                return int(number)
            self._job = int(number)
            if self._killed:  # before there was a job to kill
                self._end_job()
        return None

    def kill(self) -> None:
        """Kill the job that runs, with its children, and take no other."""
        self._killed = True
        self._end_job()
        self._process.kill()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()

    def _end_job(self) -> None:
        if self._job is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._job, signal.SIGKILL)


_idle: list[_Warm] = []
"""The processes that wait, the one that was used last at the end."""
_taking = threading.Lock()


@contextmanager
def _warm(modules: tuple[str, ...], environment: dict[str, str]) -> Iterator[_Warm]:
    """Give a process with `modules` loaded, one that waits or a new one, and let it wait after."""
    key = _key(modules, environment)
    with _taking:
        found = next((process for process in reversed(_idle) if process.key == key and process.alive), None)
        if found is not None:
            _idle.remove(found)
    process = found or _Warm(modules, environment)
    try:
        yield process
    finally:
        with _taking:
            _idle.append(process)
            room = psutil.virtual_memory().total // MEMORY_EACH
            surplus = [worker for worker in _idle if not worker.alive] or _idle[: max(0, len(_idle) - room)]
            for worker in surplus:
                _idle.remove(worker)
        for worker in surplus:
            worker.close()


def _key(modules: tuple[str, ...], environment: dict[str, str]) -> tuple[str, ...]:
    read = sorted(f"{name}={value}" for name, value in environment.items() if name.startswith(READ_WHEN_LOADING))
    return (*modules, *read)


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed
        return "/"


@atexit.register
def _close_all() -> None:
    while _idle:
        _idle.pop().close()


def _crash(status: int, stage: str, log: Path) -> EdgekitError:
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    # A SIGKILL that edgekit did not send is from the kernel's out-of-memory killer.
    kind = FailureKind.out_of_memory if status == -signal.SIGKILL else FailureKind.crashed
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    # A full disk crashes some converters, and there may be no room for their messages.
    if disk_is_full("\n".join(last)) or (not last and shutil.disk_usage(log.parent).free < SOME_ROOM):
        kind, how = FailureKind.disk_full, f"{how} because the disk that holds {log.parent} is full"
    hint = FREE_SPACE if kind is FailureKind.disk_full else f"Log: {log}"
    said = f": {' | '.join(last)}" if last else "."
    return EdgekitError(kind, stage, f"The process ended with {how}{said}", hint, retriable=True)


def _end_with_edgekit(pipe: int) -> None:
    """End this process when the other end of `pipe` closes: edgekit was killed, and converters must stop too."""
    waiting = select.poll()
    waiting.register(pipe, 0)  # only the hang-up matters, and poll always reports it
    waiting.poll()
    os.killpg(0, signal.SIGKILL)


def main(modules: list[str]) -> None:
    """Load modules, then fork a process per line of standard input: the other side of :class:`_Warm`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for module in modules:
        with suppress(Exception):  # a job that needs it will say what is wrong with it
            importlib.import_module(module)
    # Unbuffered: a forked process would inherit data that a buffer has read ahead.
    while line := _line(0):
        request = json.loads(line)
        job = os.fork()
        if job == 0:
            _be_a_job(request, answers.fileno())
        _, status = os.waitpid(job, 0)
        print(ENDED, os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _line(pipe: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(pipe, 1)):
        line += byte
    return line


def _be_a_job(request: dict[str, Any], answers: int) -> NoReturn:
    """Be the process of one job: apart from the warm one in session, environment, folder and output."""
    status = 1
    try:
        os.setsid()
        os.write(answers, f"{STARTED} {os.getpid()}\n".encode())
        os.close(answers)
        os.environ.clear()
        os.environ.update(request["environment"])
        tempfile.tempdir = None  # which may have been found before
        os.chdir(request["folder"])
        kind, question, answer, log = request["arguments"]
        edgekit, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
        output = os.open(log, os.O_WRONLY | os.O_APPEND)
        for source, to in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, to)
        threading.Thread(target=_end_with_edgekit, args=(edgekit,), daemon=True).start()
        _run(kind, question, answer)
        status = 0
    except BaseException:  # noqa: BLE001  (nothing may leave a forked process the way of the one that it was forked from)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(kind: str, question: str, answer: str) -> None:
    """Do the job of a class, and write its result or its failure."""
    stage, failure_kind = "work", FailureKind.internal
    try:
        job_class: type[Job] = _named(kind)
        stage, failure_kind = job_class.stage, job_class.failure_kind
        job = job_class.model_validate(json.loads(Path(question).read_text(encoding="utf-8")))
        result: dict[str, Any] = {"value": _named(job.function)(job)}
    except EdgekitError as error:
        result = {"failure": asdict(error.failure)}
    except ImportError as error:
        traceback.print_exc()
        result = {"failure": asdict(missing_converters(error).failure)}
    except Exception as error:  # noqa: BLE001  (whatever a converter raises is a result here; the traceback is in the log)
        traceback.print_exc()
        full = disk_is_full(error)
        failure_kind = FailureKind.disk_full if full else failure_kind
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        hint = FREE_SPACE if full else ""
        result = {"failure": asdict(EdgekitError(failure_kind, stage, message, hint, retriable=full).failure)}
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


def _named(place: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    main(sys.argv[1:])
