"""``edgekit operators RECIPE --device NAME``: the whole way of one artifact to its operator times."""

from __future__ import annotations

from pathlib import Path

from edgekit.cache.store import in_use, temporary_folder
from edgekit.config.paths import cache_folder
from edgekit.devices.base import opened
from edgekit.devices.host import HostProfile
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import UsageError
from edgekit.measure.operators import OperatorsDocument
from edgekit.pipeline.building import Ready, build_artifact
from edgekit.pipeline.measuring import Timing, provide_runners, push
from edgekit.pipeline.operator_pass import operators_of
from edgekit.pipeline.plan import Plan, Progress
from edgekit.pipeline.turns import timing
from edgekit.runners import DELEGATES


def profile_operators(
    plan: Plan, profile: DeviceProfile, progress: Progress, output: Path | None = None
) -> OperatorsDocument:
    """Build the plan's one target, run it on a device with the runtime's profiler, and return its operators with modules.

    `output` gets what the profiler wrote. UsageError for a target that edgekit's own runners do not time.
    EdgekitError if the build or the device fails; ``missing_extra`` if the device has only a runner without a profiler.
    """
    (target,) = plan.targets
    if target.delegate not in DELEGATES.get(target.backend, ()) or target.delegate == "-":
        hint = (
            "LiteRT's benchmark_model writes a profile of a .tflite file on any delegate: --enable_op_profiling=true."
        )
        raise UsageError(f"edgekit's own runners profile TFLite and ExecuTorch on XNNPACK, not {target}.", hint)
    if isinstance(profile, HostProfile):  # its Python runner has no profiler
        profile = profile.model_copy(update={"runner": "native"})
    with opened(profile) as device:
        provide_runners(device, progress)  # report what is missing before anything is compiled
    with in_use(), temporary_folder() as folder:
        prepared, artifact = build_artifact(plan, progress, cache_folder() / "logs" / "operators")
        ready = Ready(0, artifact, plan, prepared)
        with opened(profile) as device, timing(device, progress):
            device.prepare()
            subject = push(device, Timing(ready, str(target), None), Path(folder))
            return operators_of(device, subject, ready, output or Path(folder) / "operators")
