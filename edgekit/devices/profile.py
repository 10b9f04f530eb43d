"""Device profiles: how to reach a device, what it can run, how to measure on it. YAML files in ``device_profiles/``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from edgekit.config.paths import find_document, known_documents
from edgekit.config.yaml import Name, Override, Strict, Written, YamlFile
from edgekit.devices.kinds import load_kind, provider
from edgekit.devices.thermal import SensorType
from edgekit.errors import FailureKind, UsageError, did_you_mean
from edgekit.plugins import provided
from edgekit.protocol import PROTOCOLS, known_protocols
from edgekit.runners import DELEGATES
from edgekit.target import KNOWN_TARGETS, OTHER_TARGETS, Target


@dataclass(frozen=True)
class FromEnvironment:
    """Marks a key that an environment variable may set: ``EDGEKIT_PIXEL_HOST`` is the `host` of `pixel`."""


FROM_ENVIRONMENT = FromEnvironment()


def _known_backend(name: str) -> str:
    known = provided("edgekit.backends")
    if name not in known:
        raise ValueError(f"unknown backend {name}. {did_you_mean(name, known)}")
    return name


def _known_runtime(text: str) -> str:
    _known_backend(text.partition("/")[0])
    if text.count("/") > 1 or text.endswith("/"):
        raise ValueError("write backend or backend/delegate, such as tflite or tflite/xnnpack")
    return text


BackendName = Annotated[str, AfterValidator(_known_backend)]
Runtime = Annotated[str, AfterValidator(_known_runtime)]
"""``tflite`` or ``tflite/xnnpack``."""
TOOLS = {
    "benchmark_model": "tflite",
    "benchmark_litert_model": "tflite",
    "executor_runner": "executorch",
    "trtexec": "onnx",
}
"""Kind of tool -> the backend whose artifacts it loads."""
COMPILED_IN = {"executor_runner"}
"""Kinds of tools that cannot choose a delegate: it is compiled into their artifacts."""
ACCELERATORS = {"gpu", "npu", "dsp", "tpu", "cuda", "coreml", "mps", "qnn", "vulkan"}
"""Names of processors and delegates that XNNPACK, which computes on the CPU, is not."""
TemperatureLimit = float | Annotated[dict[SensorType, float], Field(min_length=1)]
"""Degrees Celsius: one limit for every sensor, or a limit for each type of sensor that counts."""
OTHER_PRECISIONS = re.compile(r"--(fp16|bf16|fp8|int8|int4|best|stronglyTyped)\b")
"""Options of ``trtexec`` that choose a precision. A row's precision is that of its artifact."""
OnTheDevice = Annotated[str, Written("^/.*$", "an absolute path on the device")]
OnThisComputer = Annotated[str, Written("^[/~].*$", "a path that is absolute or begins with ~")]


def _delegates(backend: str) -> list[str]:
    """Return the delegates that artifacts of a built-in backend are compiled for."""
    targets = map(Target.parse, (*KNOWN_TARGETS, *OTHER_TARGETS))
    return list(dict.fromkeys(target.delegate for target in targets if target.backend == backend))


class Tool(Strict):
    """A user's benchmark program: edgekit times with it what its own runners cannot time.

    `program` is its path on this computer, and `libraries` the folder there that it loads libraries from. Both are absolute
    or begin with ``~``, and are copied to the device. `device_program` is the path of a program that the device has.
    ``benchmark_litert_model`` has neither: it is part of ai-edge-litert in the device's own Python.
    It times artifacts of `backend` that are compiled for `delegate`. The default is the delegate that edgekit's own runner
    times. If `precisions` is empty, it times all of them.
    `arguments` choose the delegate at run time, if the tool can (``--use_gpu=true``).
    """

    kind: Literal["benchmark_model", "benchmark_litert_model", "executor_runner", "trtexec"]
    backend: BackendName
    program: OnThisComputer | None = None
    device_program: OnTheDevice | None = None
    arguments: tuple[str, ...] = ()
    libraries: OnThisComputer | None = None
    precisions: tuple[Literal["fp32", "fp16", "int8"], ...] = ()
    delegate: str | None = None

    @property
    def loads(self) -> str:
        """The delegate of the artifacts that it loads, as in their target."""
        return self.delegate or DELEGATES.get(self.backend, ("-",))[0]

    def misnamed(self, name: str) -> str | None:
        """Return why a tool called `name` would make misleading rows, for people; None if it would not.

        A row's delegate is the tool's name. So it must not name a delegate that the artifacts are not compiled for.
        """
        if self.kind not in COMPILED_IN:
            return None
        others = {*_delegates(self.backend), *(ACCELERATORS if self.loads == "xnnpack" else ())} - {self.loads}
        word = next((word for word in re.split(r"[^a-z0-9]+", name.lower()) if word in others), None)
        if word is None:
            return None
        advice = "Give the tool another name"
        if word in _delegates(self.backend):
            advice = f"Write `delegate: {word}`, or give the tool another name"
        return f"{name} loads artifacts for {self.loads}, so its rows must not say {word}. {advice}"

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.backend != TOOLS[self.kind]:
            raise ValueError(f"{self.kind} times artifacts of {TOOLS[self.kind]}, not of {self.backend}")
        if self.delegate is not None and self.delegate not in (known := _delegates(self.backend)):
            raise ValueError(f"{self.backend} is not compiled for {self.delegate}. Known: {', '.join(known)}")
        if self.program is not None and self.device_program is not None:
            raise ValueError("write either program, which is on this computer, or device_program")
        has_program = self.program is not None or self.device_program is not None
        if has_program == (self.kind == "benchmark_litert_model"):
            raise ValueError(f"{self.kind} needs {'no' if has_program else 'a'} program")
        if self.kind == "trtexec" and (found := OTHER_PRECISIONS.search(" ".join(self.arguments))):
            raise ValueError(f"edgekit chooses trtexec's precision, which is fp32. Remove {found[0]}")
        return self


class DeviceProfile(Strict):
    """One device or a family: the keys that all kinds of devices share. A kind's own keys are in its subclass.

    `runs` names the artifacts that the device's runner can time: a backend, or ``backend/delegate``. A backend stands for
    all delegates that the runner times. Other artifacts are only compiled.
    `model` must be the model that the device reports. `published` is the device of published latencies to compare with.
    `emulated` says that it is not real hardware. It is a condition of each measurement.
    `max_temperature_c` delays each session until the device is cool. A number limits every sensor. ``{skin: 37, cpu: 60}``
    limits the hottest sensor of each named type, and other types do not count. Android throttles by ``skin``. A phone's
    thermal status must be below 2 (moderate) as well. A sensor that is unknown does not delay.
    `tools` time artifacts in addition, each under the name of a delegate: ``gpu`` makes rows of ``tflite/gpu/fp32``.
    """

    delegates: ClassVar[Mapping[str, tuple[str, ...]]] = DELEGATES
    """Backend -> delegates that this kind's runner times. Of other backends it times what `runs` names."""

    name: Name
    description: str = ""
    kind: str
    runs: tuple[Runtime, ...]
    protocol: str = "1t-big"
    model: str | None = None
    published: str | None = None
    emulated: bool = False
    max_temperature_c: TemperatureLimit | None = None
    tools: dict[Name, Tool] = Field(default_factory=dict)

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, name: str) -> str:
        if name not in PROTOCOLS and name not in known_protocols():
            raise ValueError(f"unknown protocol {name}. {did_you_mean(name, known_protocols())}")
        return name

    @field_validator("runs")
    @classmethod
    def _timed_by_the_runner(cls, runs: tuple[str, ...]) -> tuple[str, ...]:
        for backend, _, delegate in (text.partition("/") for text in runs):
            timed = cls.delegates.get(backend)
            if delegate and timed is not None and delegate not in timed:
                message = f"the runner for {backend} times {', '.join(timed)}, not {delegate}"
                raise ValueError(f"{message}. A tool times other delegates")
        return runs

    @field_validator("tools")
    @classmethod
    def _not_our_own(cls, tools: dict[str, Tool]) -> dict[str, Tool]:
        own = {delegate for delegates in DELEGATES.values() for delegate in delegates}
        for name, tool in tools.items():
            if name in own:
                raise ValueError(f"edgekit's own runner times {name}. Give the tool another name")
            if reason := tool.misnamed(name):
                raise ValueError(reason)
        return tools

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that the runner needs, in the order of `runs`."""
        return tuple(dict.fromkeys(text.partition("/")[0] for text in self.runs))

    def times(self, target: Target) -> bool:
        """Say whether the device's own runner times artifacts for `target`."""
        if f"{target.backend}/{target.delegate}" in self.runs:
            return True
        timed = self.delegates.get(target.backend)
        return target.backend in self.runs and (timed is None or target.delegate in timed)

    def why_not(self, target: Target) -> str:
        """Return why :meth:`times` says no, for people."""
        timed = self.delegates.get(target.backend)
        if target.backend in self.runs and timed:
            return f"the runner of {self.name} for {target.backend} times {', '.join(timed)}, not {target.delegate}"
        return f"{self.name} runs {', '.join(self.runs) or 'nothing'}"

    def timings(self, target: Target) -> dict[str, Tool | None]:
        """Return what an artifact for `target` is timed as on this device, and with which tool (None: edgekit's own runner)."""
        own: dict[str, Tool | None] = {str(target): None} if self.times(target) else {}
        return own | {
            f"{target.backend}/{name}/{target.precision}": tool
            for name, tool in self.tools.items()
            if (tool.backend, tool.loads) == (target.backend, target.delegate)
            and target.precision in (tool.precisions or (target.precision,))
        }

    @property
    def environment(self) -> str:
        """How variables that give this profile's address begin: ``EDGEKIT_PIXEL_``."""
        return environment_prefix(self.name)

    @classmethod
    def about_keys(cls) -> str:
        """Return the keys that only this kind of device has."""
        own = [key for key in cls.model_fields if key not in DeviceProfile.model_fields]
        return f"Of its own this kind of device has {', '.join(own) or 'no keys'}."

    @classmethod
    def address(cls) -> Iterable[str]:
        """Return the keys that the environment may give."""
        return [key for key, field in cls.model_fields.items() if FROM_ENVIRONMENT in field.metadata]


class _UnknownKind(DeviceProfile):
    """A profile whose kind is missing, not text, or not installed. This error is reported before all others."""

    model_config = ConfigDict(extra="ignore")

    @field_validator("kind")
    @classmethod
    def _installed(cls, kind: str) -> str:
        try:
            provider(kind)
        except UsageError as error:
            raise PydanticCustomError("kind", "{why}", {"why": error.failure.explanation}) from error
        return kind


def config_of(kind: str) -> type[DeviceProfile]:
    """Return the class of a kind's profiles: its entry point's `config`, else the common keys alone.

    UsageError if no package provides the kind. EdgekitError names the package of a broken plug-in.
    """
    config = getattr(load_kind(kind), "config", DeviceProfile)
    if not (isinstance(config, type) and issubclass(config, DeviceProfile)):
        raise UsageError(f"The kind {kind}: `config` is {config!r}, not a subclass of DeviceProfile.")
    return config


def stored_profile(values: Mapping[str, Any]) -> DeviceProfile:
    """Return a profile from the values in a ledger, or from code.

    Up to edgekit 0.1 every profile had the options of every kind. An option that has its default of then is dropped.
    ValidationError if a value does not fit. UsageError if no package provides the kind.
    """
    config = config_of(values["kind"])
    kept = {key: value for key, value in values.items() if not _unused(key, value)}
    return config.model_validate(kept)


def _unused(key: str, value: object) -> bool:
    defaults = {"connection": "usb", "runner": "capsule", "compute_units": "all"}
    nothing = ("serial", "host", "port", "user", "key", "known_hosts", "folder", "development_team")
    return (key in nothing and value is None) or (key in defaults and value == defaults[key])


def load_profile(name: str, overrides: tuple[str, ...] = ()) -> DeviceProfile:
    """Load the device profile at a path or of a known name. UsageError if it is missing or wrong.

    `overrides` (``host=10.0.0.7``) win over the environment (``EDGEKIT_PIXEL_HOST``), which wins over the file.
    A profile that is found by name must have its file's name. Its variables and all texts use the name.
    """
    path = find_document("device profile", "device_profiles", "EDGEKIT_PROFILES", name)
    file = YamlFile(path)
    values = file.values()
    written = values.get("name")
    if written != path.stem and isinstance(written, str) and path in known_profiles().values():
        message = f"The profile {path} is found as {path.stem}, and its `name` is {written}."
        raise UsageError(message, f"Call the file {written}.yaml, or write the file's name.", FailureKind.recipe)
    given = [Override(text, f"--device-option {text}") for text in overrides]
    config = _config_of_file(file.values(given).get("kind"))
    given = [Override(_as_text(config, text), f"--device-option {text}") for text in overrides]
    return file.fit(config, [*_from_environment(config, str(written)), *given])


def readdressed(stored: DeviceProfile, overrides: tuple[str, ...] = ()) -> DeviceProfile:
    """Return a profile of an earlier run that reaches its device where it is now.

    The keys of :meth:`DeviceProfile.address` come from `overrides`, the environment and today's profile of this name, in
    this order, and else from `stored`. UsageError for another key in `overrides`, or a value that does not fit.
    """
    keys = list(stored.address())
    options = [Override(text, f"--device-option {text}") for text in overrides]
    for key in (".".join(option.keys) for option in options):
        if key not in keys:
            message = f"--device-option {key} would change how the run measures. It may change the address only."
            raise UsageError(message, f"Keys: {', '.join(keys)}." if keys else "This kind of device has no address.")
    own: dict[str, Any] = {key: getattr(stored, key) for key in keys}
    if (file := known_profiles().get(stored.name)) is not None:
        today = load_profile(str(file))
        if today.kind == stored.kind:
            own |= {key: value for key in keys if (value := getattr(today, key)) is not None}
    config = type(stored)
    given = {**_environment_values(config, stored.name), **{option.keys[0]: option.value for option in options}}
    own |= {key: None if value in {"", "null"} else value for key, value in given.items()}
    try:
        return config.model_validate({**stored.model_dump(), **own})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{stored.name}: {first['loc'][0]}: {first['msg']}.") from error


def _config_of_file(kind: object) -> type[DeviceProfile]:
    """Return the class to read a profile with. If the kind is not installed, this class reports that."""
    if not isinstance(kind, str) or kind not in provided("edgekit.devices"):
        return _UnknownKind
    return config_of(kind)


def _from_environment(config: type[DeviceProfile], name: str) -> Sequence[Override]:
    return [
        Override(_as_text(config, f"{key}={value}"), f"{environment_prefix(name)}{key.upper()}={value}")
        for key, value in _environment_values(config, name).items()
    ]


def _environment_values(config: type[DeviceProfile], name: str) -> dict[str, str]:
    """Return the keys of the address that the environment gives, as text."""
    variables = {key: environment_prefix(name) + key.upper() for key in config.address()}
    return {key: value for key, variable in variables.items() if (value := os.environ.get(variable))}


def environment_prefix(name: str) -> str:
    """Return how variables that give the address of a profile called `name` begin: ``EDGEKIT_PIXEL_``."""
    return f"EDGEKIT_{re.sub('[^A-Z0-9]', '_', name.upper())}_"


def known_profiles() -> dict[str, Path]:
    """Return name -> file of every device profile that is found without a path."""
    return known_documents("device_profiles", "EDGEKIT_PROFILES")


def _as_text(config: type[DeviceProfile], override: str) -> str:
    """Return ``key=value`` with an address quoted as YAML text, since a serial may be all digits.

    A key whose type is a number stays as it is.
    """
    key, _, value = override.partition("=")
    if key not in config.address() or _is_number(config, key) or value in {"", "null"} or value[0] in "'\"":
        return override
    escaped = value.replace("'", "''")
    return f"{key}='{escaped}'"


def _is_number(config: type[DeviceProfile], key: str) -> bool:
    return "int" in str(config.model_fields[key].annotation)
