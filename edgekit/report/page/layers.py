"""The plot of time by layer: an operator profile that a measurement holds, summed so that a page can show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.measure.modules import by_module
from edgekit.measure.operators import ModuleTime, OperatorTime, stored_profile
from edgekit.report.page.document import Layer
from edgekit.report.page.packing import short

MOST_LAYERS = 30
"""More bars than this cannot be read on a phone."""
DEEPEST = 12


def layers_of(conditions: Mapping[str, Any]) -> tuple[list[Layer], str]:
    """Return the layers of a measurement's operator profile, and how they were found; nothing if there is no profile."""
    profile = stored_profile(conditions)
    if profile is None:
        return [], ""
    layers = [
        Layer(
            name="(unknown)" if total.module is None else total.module or "(the network)",
            inside=short((total.mean_ms - total.off_delegate_ms) / profile.mean_ms),
            outside=short(total.off_delegate_ms / profile.mean_ms),
        )
        for total in summed(profile.operators)
    ]
    profiled = (
        f"A pass of its own with {profile.profiler}'s profiler: {profile.runs} runs, {profile.mean_ms:.3g} ms on average. "
        f"The profiler slows the model, so only shares are shown. Off the delegate: {profile.fallback_share:.1%}."
    )
    return layers, profiled


def summed(operators: Sequence[OperatorTime]) -> list[ModuleTime]:
    """Return the times by module, as deep as :data:`MOST_LAYERS` allows."""
    for depth in range(DEEPEST, 1, -1):
        if len(totals := by_module(operators, depth)) <= MOST_LAYERS:
            return totals
    return by_module(operators, 1)
