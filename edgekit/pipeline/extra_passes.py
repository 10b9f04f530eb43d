"""What is found out about an artifact beside its timing, in processes of their own: its memory, and its operators' times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.operators import stored
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Subject
from edgekit.pipeline.building import Ready
from edgekit.pipeline.load_pass import cold_loads
from edgekit.pipeline.memory_pass import memory_or_unknown
from edgekit.pipeline.operator_pass import check_fallback, operators_of
from edgekit.protocol import Protocol


def extra_passes(
    device: Device, subject: Subject, ready: Ready, protocol: Protocol, profiled: bool, folder: Path, lost: str = ""
) -> dict[str, Any]:
    """Return the conditions that the passes find. If the device is `lost`, by this message, they are unknown.

    These are `memory`, `cold_load` if the protocol has it, and `operators` if `profiled` or if the recipe limits them.
    Targets without a delegate have no share off it, so no limit applies to them. A profile that was only asked for and
    fails leaves `operators_unknown`, the reason. EdgekitError: ``fallback`` if too much ran off the delegate;
    ``missing_extra``, ``unverified``, ``link_lost`` if it cannot be found out though the recipe limits it.
    """
    limit = ready.plan.recipe.max_fallback_share
    limited = limit is not None and subject.name.split("/")[1] != "-"
    if lost:
        if limited:
            raise EdgekitError(FailureKind.link_lost, "operators", lost, retriable=True)
        return {"memory": {"unknown": lost}, **({"cold_load": {"unknown": lost}} if protocol.cold_loads else {})}
    found: dict[str, Any] = {"memory": memory_or_unknown(device, subject, ready)}
    if protocol.cold_loads:
        found["cold_load"] = cold_loads(device, subject, protocol)
    if limited or (profiled and can_profile(subject)):
        try:
            document = operators_of(device, subject, ready, folder / "operators")
        except EdgekitError as error:
            if limited:
                raise
            return {**found, "operators_unknown": error.failure.message}
        if limit is not None and limited:
            check_fallback(document, limit, f"{subject.name} on {device.profile.name}")
        found["operators"] = stored(document)
    return found


def can_profile(subject: Subject) -> bool:
    """Return whether edgekit's runners time the subject on a delegate, so that there is something to profile."""
    return isinstance(subject.program, OwnRunner) and subject.name.split("/")[1] != "-"
