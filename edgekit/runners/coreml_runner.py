"""Runs ON a Mac: times one Core ML package there, or on an iPhone that is attached to it, through coremltools.

Imports nothing of edgekit. Accepts the arguments of the other runners and prints their lines.
Core ML chooses threads and CPUs: `--threads` and `--cpus` are accepted but not used. Nor is `--cold`: a package is a folder,
which Core ML compiles and caches.
`--units` are the allowed units, and the compute plan names the preferred ones.
Core ML reports the time of each prediction. On a phone, an input and an output are transferred between predictions,
and the phone rests meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

UNITS = {"all": "ALL", "cpu_only": "CPU_ONLY", "cpu_and_gpu": "CPU_AND_GPU", "cpu_and_ne": "CPU_AND_NE"}
LEAST_WARMUP = 1


def emit(event: str, **fields: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


class OnMac:
    """The package on this Mac."""

    def __init__(self, path: str, units: Any) -> None:
        from coremltools.models import MLModel

        self.model = MLModel(path, compute_units=units)
        self.spec = self.model.get_spec()
        self.units = units

    async def load(self) -> Any:
        """Return how long loading took, in ns."""
        return self.model.load_duration_in_nano_seconds

    async def predict(self, inputs: Any) -> Any:
        """Return the outputs by name, and the ns that Core ML reports."""
        outputs = self.model.predict(inputs)
        return outputs, self.model.last_predict_duration_in_nano_seconds

    async def preferred(self) -> Counter[str]:
        """Return how many operations would rather run on which unit."""
        from coremltools.models.compute_plan import MLComputePlan

        plan = MLComputePlan.load_from_path(self.model.get_compiled_model_path(), compute_units=self.units)
        operations = plan.model_structure.program.functions["main"].block.operations
        usages = [plan.get_compute_device_usage_for_mlprogram_operation(operation) for operation in operations]
        return Counter(type(usage.preferred_compute_device).__name__ for usage in usages if usage)

    async def close(self) -> None:
        """Do nothing: the process ends with it."""


class OnPhone:
    """The package in coremltools' app on an iPhone that is attached."""

    def __init__(self, path: str, units: Any, phone: str, team: str, work: str) -> None:
        from coremltools.models import MLModel

        self.path, self.units, self.phone, self.team, self.work = path, units, phone, team, Path(work)
        self.spec = MLModel(path, skip_model_load=True).get_spec()
        self.session: Any = None
        self.service: Any = None

    async def load(self) -> Any:
        """Install the app and load the package in it; return how long the latter took, in ns."""
        from coremltools.models.ml_program.experimental import remote_device

        found = remote_device.Device.get_connected_devices(remote_device.DeviceType.IPHONE)
        chosen = [device for device in found if self.phone in {device.udid, device.identifier}]
        if not chosen:
            raise RuntimeError(f"no iPhone {self.phone} is connected")
        credentials = remote_device.AppSigningCredentials(development_team=self.team)
        self.work.mkdir(parents=True, exist_ok=True)
        device = await chosen[0].prepare_for_model_debugging(credentials=credentials, working_directory=self.work)
        self.session = device.session
        with tempfile.TemporaryDirectory() as folder:
            command = ["xcrun", "coremlcompiler", "compile", self.path, folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (compiled,) = Path(folder).glob("*.mlmodelc")
            # coremltools' own class around it would compile in this process, for this Mac's Core ML.
            load = remote_device._RemoteMLModelService.load_on_device
            self.service = await load(device, compiled, self.units)
        return self.service.load_duration_in_nano_seconds

    async def predict(self, inputs: Any) -> Any:
        """Return the outputs by name, and the ns that Core ML reports."""
        outputs = await self.service.predict(inputs)
        return outputs, self.service.last_predict_duration_in_nano_seconds

    async def preferred(self) -> Counter[str]:
        """Return how many operations would rather run on which unit."""
        plan = await self.service.retrieve_compute_plan()
        return Counter(type(info.device_usage.preferred).__name__ for info in plan.infos.values())

    async def close(self) -> None:
        """Leave the phone."""
        if self.service is not None:
            await self.service.unload()
        if self.session is not None:
            self.session.stop()


async def run(arguments: argparse.Namespace) -> None:
    """Load the package and measure it."""
    import coremltools

    units = coremltools.ComputeUnit[UNITS[arguments.units]]
    if arguments.phone:
        model: OnMac | OnPhone = OnPhone(arguments.model, units, arguments.phone, arguments.team, arguments.work)
    else:
        model = OnMac(arguments.model, units)
    emit(
        "environment",
        runner="coremltools",
        runtime="Core ML",
        runtime_version=coremltools.__version__,
        threads=None,
        affinity=[],
        compute_units=arguments.units,
        machine=platform.machine(),
        system=platform.mac_ver()[0] or platform.release(),
        python=platform.python_version(),
        process_context="app" if arguments.phone else "shell",
    )
    try:
        await measure(model, arguments)
    finally:
        await model.close()


async def measure(model: OnMac | OnPhone, arguments: argparse.Namespace) -> None:
    """Time the package as the arguments say, and write its outputs for every example."""
    loaded = await model.load()
    description = model.spec.description
    shapes = [list(output.type.multiArrayType.shape) for output in description.output]
    emit("load", ns=int(loaded), output_shapes=shapes, compute_plan=dict(await model.preferred()))
    examples = read_inputs(arguments.input, description.input)
    facts: Any = {}
    if arguments.iterations:
        emit("first", ns=int((await model.predict(examples[0]))[1]))
        warm, warmup_runs = time.monotonic() + arguments.warmup_seconds, 0
        while warmup_runs < LEAST_WARMUP or time.monotonic() < warm:
            await model.predict(examples[0])
            warmup_runs += 1
        samples: Any = []
        start = time.monotonic()
        while len(samples) < arguments.iterations or time.monotonic() - start < arguments.min_seconds:
            samples.append(int((await model.predict(examples[0]))[1]))
        emit("samples", ns=samples)
        facts = {"warmup_runs": warmup_runs, "wall_ns": int((time.monotonic() - start) * 1e9)}
    if arguments.output:
        with open(arguments.output, "wb") as file:
            for example in examples:
                outputs, _ = await model.predict(example)
                for output in description.output:
                    np.asarray(outputs[output.name], dtype=np.float32).tofile(file)
    emit("done", cpus_seen=[], threads_busy=None, **facts)


def read_inputs(path: str, described: Any) -> Any:
    """Return the examples of an input file, each a dictionary of arrays: example after example, of each all inputs."""
    shapes = [tuple(input.type.multiArrayType.shape) for input in described]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    rows = np.fromfile(path, dtype=np.float32).reshape(-1, int(ends[-1]))
    parts = [
        [part.reshape(shape) for part, shape in zip(np.split(row, ends[:-1]), shapes, strict=True)] for row in rows
    ]
    return [{input.name: part for input, part in zip(described, row, strict=True)} for row in parts]


def parse(argv: Any) -> argparse.Namespace:
    """Return the arguments; the process exits if they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cpus")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--warmup-seconds", type=float, default=0.5)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--min-seconds", type=float, default=0.0)
    parser.add_argument("--units", choices=UNITS, default="all")
    parser.add_argument("--phone", help="UDID of an attached iPhone; without it the Mac itself")
    parser.add_argument("--team", default="", help="development team that signs coremltools' app")
    parser.add_argument("--work", default="modelrunner", help="where that app is built")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        asyncio.run(run(parse(sys.argv[1:])))
    except Exception as error:
        emit("error", message=f"{type(error).__name__}: {error}")
        raise
