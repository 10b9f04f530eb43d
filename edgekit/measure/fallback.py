"""Whether operators ran off the delegate that a measurement names: what the runtime says, and how much it was.

Source: LiteRT's CompiledModel::IsFullyAccelerated, its interpreter's list of nodes, and the runtimes' profilers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.measure.operators import OperatorsDocument

MIN_SHARE = 0.01
"""Less of a run off the delegate does not change the number: it is within the noise of a stable measurement."""


def fallback_evidence(environment: Mapping[str, Any], profile: OperatorsDocument | None) -> str:
    """Return what ran off the delegate, by a session's environment and the profile of the artifact; empty if nothing did.

    Without a profile the size is unknown, and the runtime's word counts. A runtime that says nothing counts as complete.
    """
    if profile is not None:
        if profile.fallback_share < MIN_SHARE:
            return ""
        names = dict.fromkeys(operator.operator for operator in profile.operators if operator.off_delegate)
        return f"{profile.fallback_share:.1%} of a run was spent off the delegate ({', '.join(names)})"
    partly = environment.get("fully_accelerated") is False or environment.get("delegated") == "not completely"
    return "the runtime says that operators ran off the delegate" if partly else ""
