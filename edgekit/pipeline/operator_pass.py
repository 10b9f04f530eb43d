"""Operator times of an artifact on a device: a separate pass, because a runtime's profiler slows the model."""

from __future__ import annotations

from pathlib import Path

from edgekit.build.jobs import GraphNode, GraphNodesJob
from edgekit.build.worker import Workers
from edgekit.config.paths import cache_folder
from edgekit.devices.base import Device
from edgekit.devices.host import Host, HostProfile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.modules import attributed
from edgekit.measure.operators import OperatorsDocument, read_profile
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Subject, broken
from edgekit.pipeline.building import Ready
from edgekit.protocol import Protocol

PASS = Protocol(name="operators", sessions=1, iterations=40, min_seconds=0, warmup_seconds=0, session_timeout=900)
LAYERS_NAMED = 5
"""How many of the operators off the delegate a failure names."""


def operators_of(device: Device, subject: Subject, ready: Ready, output: Path) -> OperatorsDocument:
    """Profile a subject that was pushed to the device. The profiler's file is written to `output`.

    On the host the native runner profiles what the Python runner times. EdgekitError (``missing_extra``, ``unverified``) if
    the device's runner, or the tool that times the artifact, has no profiler.
    """
    where = f"{subject.name} on {device.profile.name}"
    if not isinstance(subject.program, OwnRunner):
        message = f"{where} is timed by a tool of yours. edgekit does not know which operators ran where."
        raise EdgekitError(FailureKind.unverified, "operators", message)
    runner = _profiling_runner(device, ready.artifact.target.backend)
    dump = device.scratch(f"{subject.name.replace('/', '-')}.operators")
    command = runner.arguments(subject, PASS, device.timing_cpus(), with_output=False)
    completed = device.run([*command, "--operators", dump], PASS.session_timeout)
    if completed.exit_status:
        raise broken(where, completed)
    device.pull(dump, output)
    return attributed(read_profile(output), _nodes(ready))


def check_fallback(document: OperatorsDocument, limit: float, where: str) -> None:
    """EdgekitError (``fallback``) if more than `limit` of a run was spent off the delegate; it names the operators."""
    if document.fallback_share <= limit:
        return
    slowest = sorted((found for found in document.operators if found.off_delegate), key=lambda found: -found.mean_ms)
    named = [
        f"{found.operator} of {found.module or 'the network'} ({found.mean_ms / document.mean_ms:.1%})"
        if found.module is not None
        else f"{found.operator} ({found.mean_ms / document.mean_ms:.1%})"
        for found in slowest[:LAYERS_NAMED]
    ]
    more = f" and {len(slowest) - LAYERS_NAMED} more" if len(slowest) > LAYERS_NAMED else ""
    message = (
        f"{where}: {document.fallback_share:.1%} of a run is spent off the delegate, more than the recipe's "
        f"max_fallback_share of {limit:.1%}: {', '.join(named)}{more}."
    )
    hint = "Replace these operators, or raise max_fallback_share. See: edgekit operators RECIPE --device NAME --each"
    raise EdgekitError(FailureKind.fallback, "operators", message, hint)


def _profiling_runner(device: Device, backend: str) -> OwnRunner:
    if isinstance(device, Host) and isinstance(device.profile, HostProfile):
        native = Host(device.profile.model_copy(update={"runner": "native"}))
        return OwnRunner(native.runner(backend))
    runner = OwnRunner(device.runner(backend), device.profile.emulated)
    if not runner.is_native:
        message = f"{device.profile.name} is timed by a Python runner, which has no profiler."
        hint = "Choose the native runner if the device can have it: --device-option runner=native"
        raise EdgekitError(FailureKind.missing_extra, "operators", message, hint)
    return runner


def _nodes(ready: Ready) -> list[GraphNode]:
    """Return the nodes of the artifact's graph with their modules."""
    job = GraphNodesJob(recipe=ready.plan.recipe, prepared=ready.prepared.folder, artifact=ready.artifact.path)
    with Workers() as workers:
        found = workers.call(job, cache_folder() / "logs" / "operators.log", modules=("edgekit.build.graph_nodes",))
    return [GraphNode.model_validate(node) for node in found]
