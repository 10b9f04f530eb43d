"""The machine that edgekit itself runs on."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgekit.devices.base import Completed, Identity
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners import PYTHON_RUNNER

CPUS = Path("/sys/devices/system/cpu")


class Host:
    """The local machine: files stay where they are, programs are processes of their own process group."""

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self._scratch = Path(tempfile.mkdtemp(prefix="edgekit-host-"))

    def identify(self) -> Identity:
        """Return this machine's id, CPU and kernel."""
        serial = _first_line(Path("/etc/machine-id"))
        facts = {
            "soc": _cpu_model(),
            "cpus": len(os.sched_getaffinity(0)),
            "machine": platform.machine(),
            "clusters": {str(cpu): speed for cpu, speed in speeds(CPUS).items()} or "unknown",
            "clock_rung": "free-running" if (CPUS / "cpu0" / "cpufreq").is_dir() else "unknown",
            "temperature": "unknown" if not list(Path("/sys/class/thermal").glob("thermal_zone*")) else "not recorded",
            "load_average": round(os.getloadavg()[0], 2),
            "emulated": False,
        }
        return Identity(serial, platform.node(), f"{platform.system()} {platform.release()}", facts)

    def timing_cpu(self) -> int | None:
        """Return the last allowed CPU of the fastest cluster; of all CPUs where the machine does not tell their speeds."""
        return large_core(sorted(os.sched_getaffinity(0)), speeds(CPUS))

    def push(self, local: Path) -> str:
        """Return the path itself."""
        return str(local)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file."""
        shutil.copyfile(remote, local)

    def scratch(self, name: str) -> str:
        """Return a path in a temporary folder of this device object."""
        return str(self._scratch / name)

    def runner(self) -> Sequence[str]:
        """Return the Python runner under this very interpreter."""
        return (sys.executable, str(PYTHON_RUNNER))

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program with BLAS and OpenMP held to one thread; the whole process group is killed at the time limit."""
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise EdgekitError(
                FailureKind.timed_out,
                "measure",
                f"{Path(arguments[0]).name} on {self.profile.name} ran for more than {timeout:.0f} s and was killed.",
                retriable=True,
            ) from error
        finally:
            # Also after Ctrl-C: nothing of ours stays behind on the device.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return Completed(process.returncode, stdout, stderr)

    def release(self) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(self._scratch)


def speeds(cpus: Path) -> dict[int, int]:
    """Return CPU -> maximum frequency in kHz, or its relative capacity; empty where the machine tells neither."""
    for file in ("cpufreq/cpuinfo_max_freq", "cpu_capacity"):
        found = {
            int(path.name[3:]): int((path / file).read_text())
            for path in cpus.glob("cpu[0-9]*")
            if (path / file).is_file()
        }
        if found:
            return found
    return {}


def large_core(allowed: list[int], speed: dict[int, int]) -> int | None:
    """Return the last CPU of the fastest cluster among `allowed`; CPU 0 serves most interrupts, so the last it is."""
    fastest = max((speed.get(cpu, 0) for cpu in allowed), default=0)
    return max((cpu for cpu in allowed if speed.get(cpu, 0) == fastest), default=None)


def _first_line(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else "unknown"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
