"""Operator times of an artifact on a device: a separate pass, because ExecuTorch's profiler slows the model."""

from __future__ import annotations

from pathlib import Path

from edgekit.cache.store import in_use, temporary_folder
from edgekit.config.paths import cache_folder
from edgekit.devices.base import opened
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import broken
from edgekit.pipeline.building import Ready, build_artifact
from edgekit.pipeline.measuring import Timing, provide_runners, push
from edgekit.pipeline.plan import Plan, Progress
from edgekit.pipeline.turns import timing
from edgekit.protocol import Protocol
from edgekit.runners import DELEGATES, PYTHON_RUNNER

PASS = Protocol(name="operators", sessions=1, iterations=20, min_seconds=0, warmup_seconds=0, session_timeout=900)


def dump_operators(plan: Plan, profile: DeviceProfile, progress: Progress, output: Path) -> None:
    """Build the plan's one target, run it on a device with the profiler, and write its ETDump to `output`.

    UsageError for a target that is not ExecuTorch's for XNNPACK. EdgekitError if the build or the device fails.
    EdgekitError (``missing_extra``) if the device has only the Python runner, which has no profiler.
    """
    (target,) = plan.targets
    if target.backend != "executorch" or target.delegate not in DELEGATES["executorch"]:
        hint = "LiteRT's benchmark_model writes one of a .tflite file: --enable_op_profiling=true."
        raise UsageError(
            f"edgekit's own runner writes a profile of ExecuTorch's artifacts for XNNPACK, and none of {target}.", hint
        )
    with opened(profile) as device:
        provide_runners(device, progress)  # report what is missing before anything is compiled
    with in_use(), temporary_folder() as folder:
        prepared, artifact = build_artifact(plan, progress, cache_folder() / "logs" / "operators")
        with opened(profile) as device, timing(device, progress):
            device.prepare()
            subject = push(device, Timing(Ready(0, artifact, plan, prepared), str(target), None), Path(folder))
            assert isinstance(subject.program, OwnRunner)
            if str(PYTHON_RUNNER) in subject.program.command:
                message = f"{profile.name} is timed by the Python runner, which has no profiler."
                hint = "Choose the native runner: --device-option runner=native"
                raise EdgekitError(FailureKind.missing_extra, "measure", message, hint)
            dump = device.scratch("operators.etdp")
            command = subject.program.arguments(subject, PASS, device.timing_cpus(), with_output=False)
            completed = device.run([*command, "--etdump", dump], PASS.session_timeout)
            if completed.exit_status:
                raise broken(f"{target} on {profile.name}", completed)
            device.pull(dump, output)
