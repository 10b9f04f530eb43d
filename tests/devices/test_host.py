import os
import sys
import time

import pytest

from edgekit.devices.base import open_device
from edgekit.devices.host import large_core, speeds
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError


@pytest.fixture
def host():
    device = open_device(load_profile("host"))
    yield device
    device.release()


def test_a_program_ends_with_its_status_and_both_outputs(host):
    done = host.run([sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], 30)
    assert (done.exit_status, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_program_that_hangs_is_killed_with_its_children(host, tmp_path):
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(tmp_path / 'alive')!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.monotonic()
    with pytest.raises(EdgekitError, match="more than 1 s and was killed") as raised:
        host.run([sys.executable, "-c", parent], 1)
    assert time.monotonic() - start < 3
    assert raised.value.failure.kind == FailureKind.timed_out
    time.sleep(3)
    assert not (tmp_path / "alive").exists()


def test_files_are_where_they_were(host, tmp_path):
    file = tmp_path / "file"
    file.write_text("content")
    assert host.push(file) == str(file)
    host.pull(str(file), tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "content"


def test_the_identity_is_stable_and_says_unknown_where_it_is(host):
    one, two = host.identify(), host.identify()
    assert one.hash == two.hash
    assert len(one.hash) == 16
    assert one.facts["cpus"] == len(os.sched_getaffinity(0))
    assert one.facts["clock_rung"] in {"unknown", "free-running"}


def test_release_leaves_nothing(host):
    device = open_device(load_profile("host"))
    scratch = device.scratch("file")
    assert os.path.isdir(os.path.dirname(scratch))
    device.release()
    assert not os.path.exists(os.path.dirname(scratch))


@pytest.mark.parametrize(
    ("allowed", "speed", "expected"),
    [
        ([0, 1], {}, 1),
        ([0, 1, 2, 3], {0: 1800, 1: 1800, 2: 2800, 3: 2800}, 3),
        ([0, 1], {0: 2800, 1: 1800}, 0),
        ([0, 1, 2], {0: 1800, 1: 1800, 2: 1800, 3: 2800}, 2),  # the fast one is not ours
        ([], {}, None),
    ],
)
def test_the_large_core_is_computed(allowed, speed, expected):
    assert large_core(allowed, speed) == expected


@pytest.mark.parametrize("file", ["cpufreq/cpuinfo_max_freq", "cpu_capacity"])
def test_speeds_are_read_from_either_file(tmp_path, file):
    for cpu, value in {0: 1000, 1: 2000}.items():
        path = tmp_path / f"cpu{cpu}" / file
        path.parent.mkdir(parents=True)
        path.write_text(f"{value}\n")
    (tmp_path / "cpufreq").mkdir()
    assert speeds(tmp_path) == {0: 1000, 1: 2000}
    assert speeds(tmp_path / "none") == {}


def test_a_profile_of_a_kind_that_nothing_provides_says_so(tmp_path):
    path = tmp_path / "toaster.yaml"
    path.write_text("name: toaster\nkind: toaster\nruns: [tflite]\n")
    with pytest.raises(UsageError, match="nothing provides the kind toaster"):
        open_device(load_profile(str(path)))
