"""The computer that runs edgekit, as a device."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from edgekit.cache.store import temporary_folder
from edgekit.devices.base import Completed, Identity
from edgekit.devices.cpus import (
    FEATURES_LINE,
    SPEED_FILES,
    clock_rung,
    clusters,
    cpu_features,
    parse_speeds,
    timing_cpus,
)
from edgekit.devices.kinds import configured_by
from edgekit.devices.profile import DeviceProfile
from edgekit.devices.thermal import linux_sensor, thermal_state
from edgekit.devices.watch import Series, parse_watch, watch_script
from edgekit.errors import EdgekitError, FailureKind
from edgekit.protocol import Cores
from edgekit.runners import PYTHON_RUNNER, python_runner_facts
from edgekit.runners.bundle import Bundle, bundle_for, command

CPUS = Path("/sys/devices/system/cpu")
CPU = "cpu[0-9]*"
THERMAL = Path("/sys/class/thermal")


class HostProfile(DeviceProfile):
    """The machine that edgekit runs on.

    `runner` times artifacts: edgekit's ``python`` runner, or the ``native`` runners, which need no Python and no torch.
    """

    runner: Literal["python", "native"] = "python"


@configured_by(HostProfile)
class Host:
    """The local machine. Files stay in place. Each program has its own process group."""

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def identify(self) -> Identity:
        """Return this machine's id, product, CPU and kernel."""
        serial = _first_line(Path("/etc/machine-id")) or platform.node()
        model = _first_line(Path("/sys/class/dmi/id/product_name")) or _first_line(Path("/proc/device-tree/model"))
        facts = {
            "soc": _cpu_model(),
            "cpus": len(os.sched_getaffinity(0)),
            "machine": platform.machine(),
            "clusters": clusters(speeds(CPUS)),
            "cpu_features": cpu_features(_cpuinfo(FEATURES_LINE)),
            "emulated": self.profile.emulated,
        }
        return Identity(serial, model or "unknown", f"{platform.system()} {platform.release()}", facts)

    def timing_cpus(self, threads: int = 1, cores: Cores = "big") -> Sequence[int]:
        """Return allowed CPUs as :func:`edgekit.devices.cpus.timing_cpus` chooses them."""
        return timing_cpus(os.sched_getaffinity(0), speeds(CPUS), threads, cores, self.profile.name, siblings(CPUS))

    def prepare(self) -> None:
        """Do nothing. People work on this machine, so edgekit does not change its clocks."""

    def push(self, local: Path) -> str:
        """Return the path itself."""
        return str(local)

    def pull(self, remote: str, local: Path) -> None:
        """Copy the file."""
        shutil.copyfile(remote, local)

    def scratch(self, name: str) -> str:
        """Return a path in a temporary folder."""
        if self._scratch is None:
            self._scratch = temporary_folder()
        return str(Path(self._scratch.name) / name)

    def runner(self, backend: str) -> Sequence[str]:
        """Return the command of the runner that the profile chooses."""
        bundle = self._bundle()
        if bundle is None:
            return (sys.executable, "-P", str(PYTHON_RUNNER))
        return command(str(bundle.folder), platform.machine(), backend)

    def runner_facts(self, backend: str) -> Mapping[str, Any]:
        """Return which build of the runner times a backend's artifacts."""
        bundle = self._bundle()
        return python_runner_facts() if bundle is None else bundle.facts

    def native_machine(self) -> str | None:
        """Return this machine's kind if the profile chooses the native runners. Profiles of other classes have no choice."""
        native = isinstance(self.profile, HostProfile) and self.profile.runner == "native"
        return platform.machine() if native else None

    def _bundle(self) -> Bundle | None:
        machine = self.native_machine()
        return bundle_for(machine) if machine else None

    def own_python(self) -> str:
        """Return the interpreter that runs edgekit. It has the extra `convert` or `board`."""
        return sys.executable

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program with BLAS and OpenMP limited to one thread. At the time limit, kill its process group."""
        # With setpriv, the kernel kills the program if edgekit is killed.
        # Without setpriv, the program may survive a killed edgekit.
        guard = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
        process = subprocess.Popen(
            [*guard, *arguments],
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
            # Also after Ctrl-C. Processes that the program started are killed as well.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Completed(process.returncode, stdout, stderr)

    def run_watched(self, arguments: Sequence[str], timeout: float, cpus: Sequence[int]) -> tuple[Completed, Series]:
        """Run a program on `cpus`, and watch this machine from the other ones, if it has any."""
        others = os.sched_getaffinity(0) - set(cpus)
        if not others:
            return self.run(arguments, timeout), {}
        core = siblings(CPUS)
        timed = {core[cpu] for cpu in cpus if cpu in core}
        others = {
            cpu for cpu in others if core.get(cpu) not in timed
        } or others  # away from the timed cores, if there are more
        with tempfile.TemporaryFile("w+") as seen:
            script = watch_script(cpus, f"kill -0 {os.getpid()} 2> /dev/null")
            watch = subprocess.Popen(
                ["sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=seen,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                os.sched_setaffinity(watch.pid, others)
                completed = self.run(arguments, timeout)
            finally:
                os.killpg(watch.pid, signal.SIGKILL)
                watch.wait()
            seen.seek(0)
            return completed, parse_watch(seen.read())

    def state(self) -> dict[str, Any]:
        """Return the current load, temperatures and clock rung."""
        return {
            "load_average": round(os.getloadavg()[0], 2),
            **temperatures(THERMAL),
            "clock_rung": clock_rung(governors(CPUS)),
        }

    def release(self) -> None:
        """Remove the files that programs wrote. The programs ended before :meth:`run` returned."""
        if self._scratch is not None:
            self._scratch.cleanup()


def speeds(cpus: Path) -> dict[int, dict[str, int]]:
    """Return CPU -> file of SPEED_FILES -> value; empty if the machine reports neither."""
    lines = [f"{file} {path.name[3:]} {_read(path / file)}" for path in cpus.glob(CPU) for file in SPEED_FILES]
    return parse_speeds(lines)


def siblings(cpus: Path) -> dict[int, str]:
    """Return CPU -> the kernel's list of the CPUs of its core. A CPU without one is left out."""
    found = {int(path.name[3:]): _read(path / "topology/thread_siblings_list") for path in cpus.glob(CPU)}
    return {cpu: core for cpu, core in found.items() if core}


def temperatures(thermal: Path) -> dict[str, Any]:
    """Return the state's entries from the thermal zones. A zone that cannot be read is unknown."""
    zones = sorted(thermal.glob("thermal_zone*"))
    sensors = [linux_sensor(zone.name, _read(zone / "type"), _read(zone / "temp")) for zone in zones]
    return thermal_state(sensor for sensor in sensors if sensor)


def governors(cpus: Path) -> set[str]:
    """Return the governors of the CPUs' clocks. Empty without cpufreq."""
    found = {_read(file) for file in cpus.glob(f"{CPU}/cpufreq/scaling_governor")}
    return found - {""}


def _read(path: Path) -> str:
    """Return the text of a kernel file. Empty if it is missing or its driver reports an error."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _first_line(path: Path) -> str:
    return _read(path).partition("\n")[0]


def _cpu_model() -> str:
    return _cpuinfo("model name").partition(":")[2].strip() or "unknown"


def _cpuinfo(start: str) -> str:
    """Return the first line of /proc/cpuinfo that starts with a regular expression. Empty if none does."""
    return next((line for line in _read(Path("/proc/cpuinfo")).splitlines() if re.match(start, line)), "")
