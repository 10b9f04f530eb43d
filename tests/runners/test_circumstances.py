"""What the runners observe beside the samples: the reference kernel, waiting, quotas, and the page cache."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.build.photos import photo_set
from edgekit.measure.disturbances import SLOWER, WAITED_SHARE
from edgekit.pipeline import Plan, build_artifacts
from edgekit.pipeline import device_check as tiny
from edgekit.recipe.loading import load_recipe
from edgekit.runners import PYTHON_RUNNER, read_events
from edgekit.runners.bundle import command

SHORT = ("--iterations", "50", "--min-seconds", "0.6", "--warmup-seconds", "0.1")
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    plan = Plan.of(load_recipe(*tiny.TINY), ["tflite/xnnpack/fp32"], photo_set())
    _, (built,) = build_artifacts(plan, lambda line: None, tmp_path_factory.mktemp("logs"))
    return built.artifact


@pytest.fixture(params=["native", "python"])
def time(request, artifact, tmp_path):
    """Time a copy of the artifact and return its events."""
    shape = artifact.manifest.inputs[0].shape
    np.zeros(shape, np.float32).tofile(tmp_path / "in.bin")
    if request.param == "native":
        runner = command(str(request.getfixturevalue("capsule")), platform.machine(), "tflite")
    else:
        runner = (sys.executable, str(PYTHON_RUNNER))

    def timed(*options, folder=tmp_path, prefix=()):
        model = folder / "edgekit-test-model.tflite"
        if not model.exists():
            shutil.copy(artifact.path, model)
        arguments = (*prefix, *runner, "--model", model, "--input", tmp_path / "in.bin", *options)
        done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=True)
        return {event["event"]: event for event in read_events(done.stdout)}

    yield timed
    (MEMORY / "edgekit-test-model.tflite").unlink(missing_ok=True)


def waited(done):
    return 1 - done["cpu_ns"] / done["wall_ns"]


@pytest.mark.timing
def test_a_competing_program_shows_as_waiting_and_no_quota(time):
    cpu = max(os.sched_getaffinity(0))
    alone = time(*SHORT, "--cpus", cpu)["done"]
    busy = subprocess.Popen(["taskset", "-c", str(cpu), sys.executable, "-c", "while True: pass"])
    try:
        beside = time(*SHORT, "--cpus", cpu)["done"]
    finally:
        busy.kill()
        busy.wait()
    assert waited(alone) < WAITED_SHARE < 0.3 < waited(beside)
    assert beside["preempted"] > alone["preempted"]
    assert not alone["quota_ns"]
    assert not beside["quota_ns"]


@pytest.mark.timing
def test_the_reference_kernel_takes_the_same_time_again(time):
    sessions = [time(*SHORT)["done"]["reference_ns"] for _ in range(6)]  # a virtual machine itself changes its speed
    fastest, second, *_ = sorted(float(np.median(taken)) for taken in sessions)
    assert second / fastest < 1 + SLOWER
    assert (
        min(np.median(taken) / min(taken) for taken in sessions) < 1 + SLOWER
    )  # a kernel of varying work would not pass


def test_several_cpus_are_those_that_the_threads_may_use(time):
    allowed = sorted(os.sched_getaffinity(0))[-2:]
    events = time(*SHORT, "--threads", len(allowed), "--cpus", ",".join(map(str, allowed)))
    assert events["environment"]["affinity"] == allowed
    assert events["environment"]["threads"] == len(allowed)
    assert set(events["done"]["cpus_seen"]) <= set(allowed)
    assert events["done"]["threads_busy"] in {None, *range(1, len(allowed) + 1)}
    start, end = events["done"]["timed_uptime_ns"]
    assert end - start == events["done"]["wall_ns"]
    assert end / 1e9 < float(Path("/proc/uptime").read_text().split()[0]) + 1


def test_a_file_on_a_disk_is_dropped_from_the_page_cache_and_read_again(time):
    time(*SHORT)
    assert time(*SHORT)["load"]["cached_per_mille"] == 1000
    assert time(*SHORT, "--cold")["load"]["cached_per_mille"] == 0
    assert time(*SHORT)["load"]["cached_per_mille"] > 0


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no file system in memory")
def test_a_file_in_memory_stays_there_and_the_runner_says_so(time):
    assert time(*SHORT, "--cold", folder=MEMORY)["load"]["cached_per_mille"] == 1000


def test_a_list_of_cpus_that_is_none_is_an_error(capsule, artifact, tmp_path):
    runner = command(str(capsule), platform.machine(), "tflite")
    for wrong in ("1,", "a", "0,x", "-1", "99999"):
        arguments = (*runner, "--model", artifact.path, "--input", tmp_path / "in.bin", "--cpus", wrong)
        done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert read_events(done.stdout)[-1]["event"] == "error"
