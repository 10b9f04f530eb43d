"""TensorRT's ``trtexec``: it builds an engine from an ONNX file, and times the engine on an NVIDIA GPU.

The engine is built once for all sessions, by a run of its own. Its time is a fact of the conditions, not a load time. Each
session then loads the engine. A sample is ``latencyMs``: the input's way to the GPU, the computation, and the output's way
back, by the GPU's own clock. The time to enqueue the work on the CPU is not in it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import TensorSpec
from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Ended, Session, Subject
from edgekit.measure.tools.brought import WITH_RESULT, Brought, results, unreadable
from edgekit.protocol import Protocol

BUILD_SECONDS = 3600.0
"""Time limit to build an engine. TensorRT times many kernels for each layer."""
LOADED = re.compile(r"Engine (?:deserialized|loaded) in ([\d.e+-]+) sec")
BUILT = re.compile(r"Engine built in ([\d.e+-]+) sec")
VERSION = re.compile(r"TensorRT\.trtexec \[TensorRT v(\d+)\]")
PASSED = "&&&& PASSED TensorRT.trtexec"
SAMPLE = "latencyMs"
SPLIT = """input=$1; offset=1; shift
while [ "$1" != -- ]; do tail -c +$offset "$input" | head -c "$2" > "$1"; offset=$((offset + $2)); shift 2; done; shift
exec "$@\""""
"""Writes each input of an example to a file of its own, and runs a program."""


@dataclass(frozen=True)
class Trtexec(Brought):
    """``trtexec`` of TensorRT 8 or later. `inputs` are the model's, in the order of the input file.

    TensorFloat-32 is off: with it, the GPU multiplies float32 with ten bits of mantissa.
    """

    inputs: Sequence[TensorSpec] = ()
    built: dict[str, Any] = field(default_factory=dict)
    """Facts about the engine, from :meth:`build`."""

    def build(self, device: Device, subject: Subject) -> None:
        """Build the engine on the device. EdgekitError (``unsupported_operator``) if TensorRT cannot, or what runs raises."""
        command = (
            *self.command,
            f"--onnx={subject.model}",
            f"--saveEngine={_engine(subject)}",
            *("--noTF32", "--buildOnly" if self._is_old(device) else "--skipInference"),
            *self.extra,
        )
        done = device.run(command, BUILD_SECONDS)
        text = f"{done.stdout}\n{done.stderr}"
        if done.exit_status or PASSED not in text:
            message = f"{subject.name} on {device.profile.name}: TensorRT builds no engine: {_errors(text)}"
            raise EdgekitError(FailureKind.unsupported_operator, "build engine", message, _advice(text))
        found = BUILT.search(text)
        self.built.update(engine_build_seconds=float(found[1]) if found else "unknown")

    def _is_old(self, device: Device) -> bool:
        """Say whether this is TensorRT 8.5 or older, whose option has another name."""
        return "--skipInference" not in device.run((*self.command, "--help"), 60).stdout

    def arguments(self, subject: Subject, protocol: Protocol, cpus: Sequence[int], with_output: bool) -> Sequence[str]:
        """Return the command line of one session. All runs are recorded, and :meth:`read` takes the warm-up off."""
        files = [(spec, f"{subject.output}.{index}.input") for index, spec in enumerate(self.inputs)]
        sizes = [part for spec, file in files for part in (file, str(4 * math.prod(spec.shape)))]
        times = f"{subject.output}.times"
        seconds = math.ceil(protocol.warmup_seconds + protocol.min_seconds)
        return (
            *("sh", "-c", SPLIT, "sh", subject.input, *sizes, "--", "sh", "-c", WITH_RESULT, "sh", times),
            *self.command,
            f"--loadEngine={_engine(subject)}",
            f"--loadInputs={','.join(f'{spec.name}:{file}' for spec, file in files)}",
            *("--warmUp=0", f"--duration={seconds}", f"--iterations={1 + 2 * protocol.iterations}", "--noTF32"),
            f"--exportTimes={times}",
            *((f"--exportOutput={subject.output}",) if with_output else ()),
            *self.extra,
        )

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return the one file with all outputs, as JSON."""
        return (base,)

    def values(self, file: Path, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the outputs of the file of ``--exportOutput``, in the order of `names`. Its numbers have six digits.

        EdgekitError (``crashed``) if it does not hold them.
        """
        try:
            found = {entry["name"]: entry["values"] for entry in json.loads(_with_nan(file.read_text()))}
            return np.concatenate([np.asarray(found[name], np.float32).ravel() for name in names])
        except (ValueError, KeyError, TypeError) as error:
            message = f"The outputs of trtexec cannot be read: {type(error).__name__} {error}."
            hint = "Check the version of the tool in the profile."
            raise EdgekitError(FailureKind.crashed, "measure", message, hint) from error

    def read(self, ended: Ended) -> Session:
        """Return the runs after the warm-up. EdgekitError (``crashed``) if the output is not as requested."""
        text = f"{ended.completed.stdout}\n{ended.completed.stderr}"
        loaded, files = LOADED.findall(text), results(ended.completed.stdout)
        runs = parse_times(files[-1]) if files else None
        if not loaded or not runs or PASSED not in text:
            raise unreadable(ended, "trtexec")
        starts = [start - runs[0][0] for start, _, _ in runs]
        warm = sum(start < 1000 * ended.protocol.warmup_seconds for start in starts)
        warmup = min(max(1, warm), len(runs) // 2)
        timed = runs[warmup:]
        environment = {
            **self.facts,
            **self.built,
            "runtime": "tensorrt",
            "runtime_version": tensorrt_version(text),
            "delegated": "completely",
            "sample": SAMPLE,
            "warmup_runs": warmup,
            "gpu_compute_ms": round(float(np.median([compute for _, _, compute in timed])), 6),
        }
        samples = tuple(round(latency * 1e6) for _, latency, _ in timed)
        # TensorRT 8.6 and later name the time to read the file apart from the time to deserialise it.
        load_ns = round(1e9 * sum(map(float, loaded)))
        return Session(load_ns, round(runs[0][1] * 1e6), samples, environment, ended.started_at)


def parse_times(content: bytes) -> list[tuple[float, float, float]] | None:
    """Return start, latency and GPU time of each run in milliseconds, from the JSON of ``--exportTimes``; None if it is not."""
    try:
        return [(run["startComputeMs"], run[SAMPLE], run["computeMs"]) for run in json.loads(content)]
    except (ValueError, KeyError, TypeError):
        return None


def tensorrt_version(text: str) -> str:
    """Return TensorRT's version from what ``trtexec`` prints: ``v8401`` is 8.4.1, and ``v100300`` is 10.3.0."""
    found = VERSION.search(text)
    if found is None:
        return "unknown"
    number, step = int(found[1]), 1000 if len(found[1]) < 5 else 10000
    return f"{number // step}.{number % step // 100}.{number % 100}"


def _engine(subject: Subject) -> str:
    return f"{subject.output}.engine"


def _with_nan(text: str) -> str:
    """Return the outputs as JSON that Python reads. C++ prints ``nan`` and ``inf``."""
    return re.sub(r"(?<=[\[, ])(-?)(nan|inf)(?=[,\] ])", lambda match: match[1] + _PYTHON[match[2]], text)


_PYTHON = {"nan": "NaN", "inf": "Infinity"}


def _errors(text: str) -> str:
    """Return what TensorRT's log names as errors, the first ones."""
    named = [
        line for line in text.splitlines() if re.search(r"\[E\] |Error Code|Invalid Node", line) and "---" not in line
    ]
    lines = [re.sub(r"^.*\[E\] (\[TRT\] )?", "", line) for line in named]
    return " | ".join(dict.fromkeys(lines[:4])) or " ".join(text.split())[-300:] or "nothing was said"


def _advice(text: str) -> str:
    if "opset" in text.lower() or "version" in text.lower():
        return "TensorRT 8.6 and later read edgekit's ONNX (opset 18)."
    return "Its parser does not take one of the model's operators, or the device has too little memory."
