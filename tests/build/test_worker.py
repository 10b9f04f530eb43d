import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from edgekit.build.worker import Job, Workers, usable_cpus
from edgekit.errors import EdgekitError, FailureKind


def call(*arguments, **options):
    with Workers() as workers:
        return workers.call(*arguments, **options)


class OfTests(Job):
    """What the jobs of this file have in common; `function` is a function below."""

    stage = "work"


class Double(OfTests):
    function = "test_worker:double"
    value: int


class Stumble(OfTests):
    function = "test_worker:stumble"
    stage = "compile"
    failure_kind = FailureKind.compilation


class Die(OfTests):
    function = "test_worker:die"
    signal: str


class Lack(OfTests):
    function = "test_worker:lack"
    name: str


class Look(OfTests):
    function = "test_worker:look"


class Sleep(OfTests):
    function = "test_worker:sleep"


class Litter(OfTests):
    function = "test_worker:litter"


class Refuse(OfTests):
    function = "test_worker:refuse"


class FillDisk(OfTests):
    function = "test_worker:fill_disk"


class FillDiskInWords(OfTests):
    function = "test_worker:fill_disk_in_words"


class Size(OfTests):
    function = "test_worker:size"
    file: Path


class Misspelt(OfTests):
    function = "test_worker:no_such_function"


def size(job):
    return job.file.stat().st_size


def double(job):
    print("noise of a converter")
    return {"doubled": job.value * 2}


def look(job):
    here = {
        "forked_from": os.getppid(),
        "loaded": "wave" in sys.modules,
        "seen": os.environ.get("SEEN"),
        "threads": os.environ["OMP_NUM_THREADS"],
        "folder": os.getcwd(),
    }
    os.environ["SEEN"] = "by an earlier job"
    return here


def litter(job):
    _, path = tempfile.mkstemp()
    return path


def refuse(job):
    raise EdgekitError(FailureKind.contract, "model", "It is too large.", "Make it smaller.")


def stumble(job):
    raise ValueError("the converter's\nown words")


def fill_disk(job):
    raise OSError(28, "No space left on device")


def fill_disk_in_words(job):
    raise RuntimeError("I/O error: No space left on device (os error 28)")


def lack(job):
    raise ModuleNotFoundError(f"No module named {job.name!r}", name=job.name)


def die(job):
    os.kill(os.getpid(), getattr(signal, job.signal))


def sleep(job):
    time.sleep(60)


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    return tmp_path / "logs" / "work.log"


def test_a_result_comes_back_and_noise_goes_to_the_log(log, capfd):
    assert call(Double(value=21), log) == {"doubled": 42}
    assert "noise of a converter" in log.read_text()
    assert capfd.readouterr() == ("", "")


def test_jobs_that_name_the_same_modules_are_forked_from_one_process_and_share_nothing_else(log, tmp_path, monkeypatch):
    first = call(Look(), log, modules=("wave",))
    monkeypatch.setenv("SEEN", "now")
    monkeypatch.chdir(tmp_path)
    second = call(Look(), log, modules=("wave",))
    assert (first["loaded"], first["seen"]) == (True, None)
    assert (second["loaded"], second["seen"], second["folder"]) == (True, "now", str(tmp_path))
    assert first["forked_from"] == second["forked_from"] != os.getpid()
    assert call(Look(), log)["forked_from"] != first["forked_from"]
    assert not call(Look(), log)["loaded"]


def test_a_process_whose_job_was_stopped_takes_no_other(log):
    first = call(Look(), log, modules=("wave",))["forked_from"]
    with pytest.raises(EdgekitError, match="more than 1 s"):
        call(Sleep(), log, timeout=1, modules=("wave",))
    assert call(Look(), log, modules=("wave",))["forked_from"] != first


def test_a_job_is_validated_where_it_arrives(log):
    with pytest.raises(EdgekitError, match=r"ValidationError: 1 validation error for Double value") as raised:
        call(Double.model_construct(), log)
    assert raised.value.failure.kind == FailureKind.internal
    with pytest.raises(EdgekitError, match="no_such_function"):
        call(Misspelt(), log)


def test_a_path_that_is_no_text_arrives_as_it_is(log, tmp_path):
    file = tmp_path / os.fsdecode(b"photo-\xff.jpg")
    file.write_bytes(b"four")
    assert call(Size(file=file), log) == 4


def test_a_failure_arrives_as_it_was_raised(log):
    with pytest.raises(EdgekitError) as raised:
        call(Refuse(), log)
    failure = raised.value.failure
    assert (failure.kind, failure.message, failure.hint) == (
        FailureKind.contract,
        "It is too large.",
        "Make it smaller.",
    )


def test_an_unexpected_error_becomes_a_failure_of_the_jobs_kind_with_its_traceback_in_the_log(log):
    with pytest.raises(EdgekitError, match="ValueError: the converter's own words") as raised:
        call(Stumble(), log)
    assert (raised.value.failure.kind, raised.value.failure.stage) == (FailureKind.compilation, "compile")
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        (FillDisk(), FailureKind.disk_full),
        (FillDiskInWords(), FailureKind.disk_full),
        (Die(signal="SIGSEGV"), FailureKind.crashed),
        (Die(signal="SIGKILL"), FailureKind.out_of_memory),
    ],
)
def test_a_crash_has_its_kind(log, job, kind):
    with pytest.raises(EdgekitError) as raised:
        call(job, log)
    assert raised.value.failure.kind == kind
    assert raised.value.failure.retriable
    assert ("Free some space" in raised.value.failure.hint) == (kind == FailureKind.disk_full)


@pytest.mark.parametrize(("name", "ours"), [("torch.nn", True), ("somebodys_runtime", False)])
def test_a_missing_package_is_named_and_the_extra_only_where_it_has_it(log, name, ours):
    with pytest.raises(EdgekitError, match=f"missing: {name}") as raised:
        call(Lack(name=name), log)
    assert raised.value.failure.kind == FailureKind.missing_extra
    assert ("edgekit[convert]" in raised.value.failure.hint) == ours


def test_a_job_that_hangs_is_stopped(log):
    start = time.monotonic()
    with pytest.raises(EdgekitError, match="more than 2 s") as raised:
        call(Sleep(), log, timeout=2)
    assert raised.value.failure.kind == FailureKind.timed_out
    assert time.monotonic() - start < 10


def test_jobs_that_are_under_way_end_with_the_context(log):
    ended = []

    def work(workers):
        with pytest.raises(EdgekitError) as raised:
            workers.call(Sleep(), log)
        ended.append(raised.value.failure.kind)

    with Workers() as workers:
        thread = threading.Thread(target=work, args=(workers,))
        thread.start()
        time.sleep(1.5)
    start = time.monotonic()
    thread.join()
    assert time.monotonic() - start < 10
    assert ended == [FailureKind.out_of_memory]  # what a kill looks like from outside


def test_what_lies_in_the_current_folder_is_not_imported(log, tmp_path, monkeypatch):
    (tmp_path / "calendar.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert call(Double(value=1), log) == {"doubled": 2}


@pytest.mark.parametrize(("at_once", "asked", "given"), [(1, None, "4"), (2, None, "2"), (9, None, "1"), (2, "3", "3")])
def test_jobs_at_once_share_the_cpus_unless_the_user_says_otherwise(monkeypatch, log, at_once, asked, given):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(4))
    monkeypatch.delenv("OMP_NUM_THREADS")
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with Workers(at_once) as workers:
        assert workers.call(Look(), log)["threads"] == given


def test_what_a_job_leaves_among_temporary_files_goes_with_it(log):
    path = call(Litter(), log)
    assert not os.path.exists(path)


def test_cpus_are_counted_where_the_system_knows_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert usable_cpus() == os.cpu_count()
