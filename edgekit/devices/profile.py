"""Device profiles: how to reach a device, what it can run, how to measure on it. YAML files in ``device_profiles/``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgekit.document import Strict, load_document
from edgekit.places import find_document, known_documents


class DeviceProfile(Strict):
    """One device, or a family of them. `runs` are the backends whose artifacts it can time; others are compiled only."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    description: str = ""
    kind: str
    runs: tuple[str, ...]
    protocol: str = "1t-big"
    serial: str | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 5555


def load_profile(name: str) -> DeviceProfile:
    """Load the device profile at a path or of a known name; UsageError where it is missing or wrong."""
    return load_document(DeviceProfile, find_document("device profile", "device_profiles", "EDGEKIT_PROFILES", name))


def known_profiles() -> dict[str, Path]:
    """Return name -> file of every device profile that is found without a path."""
    return known_documents("device_profiles", "EDGEKIT_PROFILES")
