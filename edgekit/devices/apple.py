"""Macs and iPhones. Core ML predicts on Apple's systems only: elsewhere packages are built and checked, not timed."""

from __future__ import annotations

from edgekit.devices.base import Device
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind


def connect(profile: DeviceProfile) -> Device:
    """Refuse: EdgekitError (``needs_mac``). This version of edgekit has no runner for Core ML."""
    message = (
        f"{profile.name}: Core ML runs on Apple's systems only, and this version of edgekit has no runner for them."
    )
    hint = "The package is built and compared with PyTorch here; time it with Xcode's performance report for now."
    raise EdgekitError(FailureKind.needs_mac, "reach", message, hint)
