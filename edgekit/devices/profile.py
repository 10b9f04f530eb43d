"""Device profiles: how to reach a device, what it can run, how to measure on it. YAML files in ``device_profiles/``."""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from edgekit.config.paths import find_document, known_documents
from edgekit.config.yaml import Name, Override, Strict, Written, load_document
from edgekit.devices.thermal import SensorType
from edgekit.errors import FailureKind, UsageError, did_you_mean
from edgekit.protocol import PROTOCOLS
from edgekit.target import Target

ADDRESS = ("serial", "host", "port", "user", "key", "known_hosts", "development_team")
"""What differs from desk to desk: keys that the environment may give as well."""
OWN_DELEGATES = ("xnnpack", "-")
"""What edgekit's own runners time."""


def _known_backend(name: str) -> str:
    known = entry_points(group="edgekit.backends").names
    if name not in known:
        raise ValueError(f"unknown backend {name}. {did_you_mean(name, known)}")
    return name


BackendName = Annotated[str, AfterValidator(_known_backend)]
TOOLS = {"benchmark_model": "tflite", "benchmark_litert_model": "tflite", "executor_runner": "executorch"}
"""Whose artifacts a kind of tool can load."""
TemperatureLimit = float | Annotated[dict[SensorType, float], Field(min_length=1)]
"""Degrees Celsius: one limit for every sensor, or a limit for each type of sensor that counts."""
OnThisComputer = Annotated[str, Written("^[/~].*$", "a path that is absolute or begins with ~")]


class Tool(Strict):
    """A benchmark program for the device that the user has on this computer: how edgekit times what its own runners cannot.

    `program` and `libraries` (a folder that it loads libraries from) are absolute or begin with ``~``; ``benchmark_litert_model``
    has none, it is part of the ai-edge-litert in the device's own Python. `arguments` choose the delegate (``--use_gpu=true``).
    It times artifacts of `backend`, of all `precisions` where none is named.
    """

    kind: Literal["benchmark_model", "benchmark_litert_model", "executor_runner"]
    backend: BackendName
    program: OnThisComputer | None = None
    arguments: tuple[str, ...] = ()
    libraries: OnThisComputer | None = None
    precisions: tuple[Literal["fp32", "fp16", "int8"], ...] = ()

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.backend != TOOLS[self.kind]:
            raise ValueError(f"{self.kind} times artifacts of {TOOLS[self.kind]}, not of {self.backend}")
        if (self.program is None) != (self.kind == "benchmark_litert_model"):
            raise ValueError(f"{self.kind} needs {'a' if self.program is None else 'no'} program")
        return self


class DeviceProfile(Strict):
    """One device, or a family of them. `runs` are the backends whose artifacts it can time; others are compiled only.

    `model` and `serial` are what the device must call itself, `published` is the device of published latencies that it is
    compared with.
    `folder` is where edgekit makes its own folder on the device.
    `port` is 5555 for adb and 22 for SSH where it is not given. `emulated` says that it is no real hardware: a condition.
    `max_temperature_c` delays each session until the device is cool. A number limits every sensor. ``{skin: 37, cpu: 60}``
    limits the hottest sensor of each named type, and other types do not count. Android throttles by ``skin``. A phone's
    thermal status must be below 2 (moderate) as well. A sensor that is unknown does not delay.
    `runner` is what times artifacts: edgekit's own ``capsule`` or the board's ``python``, which `edgekit device setup` makes
    ready. `compute_units` are what Core ML may use, `development_team` signs coremltools' app for an iPhone.
    `tools` time artifacts in addition, each
    under the name of a delegate: ``gpu`` makes rows of ``tflite/gpu/fp32``.
    """

    name: Name
    description: str = ""
    kind: str
    runs: tuple[BackendName, ...]
    protocol: str = "1t-big"
    model: str | None = None
    published: str | None = None
    connection: Literal["usb", "tcp"] = "usb"
    serial: str | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: str | None = None
    key: str | None = None
    known_hosts: str | None = None
    folder: Annotated[str, Written(r"^/[\w./-]+$", "an absolute path, of letters, digits and . _ - /")] | None = None
    runner: Literal["capsule", "python"] = "capsule"
    compute_units: Literal["all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"] = "all"
    development_team: str | None = None
    emulated: bool = False
    max_temperature_c: TemperatureLimit | None = None
    tools: dict[Name, Tool] = Field(default_factory=dict)

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, name: str) -> str:
        if name not in PROTOCOLS:
            raise ValueError(f"unknown protocol {name}. {did_you_mean(name, PROTOCOLS)}")
        return name

    @field_validator("tools")
    @classmethod
    def _not_our_own(cls, tools: dict[str, Tool]) -> dict[str, Tool]:
        for name in tools:
            if name in OWN_DELEGATES:
                raise ValueError(f"{name} is what edgekit's own runner times; name the tool otherwise")
        return tools

    def timings(self, target: Target) -> dict[str, Tool | None]:
        """Return what an artifact for `target` is timed as on this device, and with which tool (None: edgekit's own runner)."""
        own: dict[str, Tool | None] = {str(target): None} if target.backend in self.runs else {}
        return own | {
            f"{target.backend}/{name}/{target.precision}": tool
            for name, tool in self.tools.items()
            if tool.backend == target.backend and target.precision in (tool.precisions or (target.precision,))
        }

    @property
    def environment(self) -> str:
        """How variables that give this profile's address begin: ``EDGEKIT_PIXEL_``."""
        return f"EDGEKIT_{re.sub('[^A-Z0-9]', '_', self.name.upper())}_"


def load_profile(name: str, overrides: tuple[str, ...] = ()) -> DeviceProfile:
    """Load the device profile at a path or of a known name; UsageError where it is missing or wrong.

    `overrides` (``host=10.0.0.7``) win over the environment (``EDGEKIT_PIXEL_HOST``), and that over the file. One that is found
    by name has to have its file's name: its variables and all texts are of its own.
    """
    path = find_document("device profile", "device_profiles", "EDGEKIT_PROFILES", name)
    written = load_document(DeviceProfile, path)
    if written.name != path.stem and path in known_profiles().values():
        message = f"The profile {path} is found as {path.stem}, and its `name` is {written.name}."
        raise UsageError(message, f"Call the file {written.name}.yaml, or write the file's name.", FailureKind.recipe)
    variables = [(key, written.environment + key.upper()) for key in ADDRESS]
    given = [
        Override(_as_text(f"{key}={value}"), f"{variable}={value}")
        for key, variable in variables
        if (value := os.environ.get(variable))
    ]
    return load_document(
        DeviceProfile, path, given + [Override(_as_text(one), f"--device-set {one}") for one in overrides]
    )


def known_profiles() -> dict[str, Path]:
    """Return name -> file of every device profile that is found without a path."""
    return known_documents("device_profiles", "EDGEKIT_PROFILES")


def _as_text(override: str) -> str:
    """Return ``key=value`` with the value of an address, but for the port, as YAML writes text: a serial may be all digits."""
    key, _, value = override.partition("=")
    if key not in ADDRESS or key == "port" or value in {"", "null"} or value[0] in "'\"":
        return override
    escaped = value.replace("'", "''")
    return f"{key}='{escaped}'"
