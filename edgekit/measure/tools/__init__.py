"""The user's benchmark programs, for delegates that edgekit's runners lack: GPUs and NPUs.

They verify less than edgekit's runners. Their CPU and threads are unknown. LiteRT's programs give neither samples nor
the model's outputs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.backends.base import TensorSpec
from edgekit.cache.store import file_sha256
from edgekit.devices.base import Device, HasPython
from edgekit.devices.profile import Tool
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Program
from edgekit.measure.tools.executor_runner import ExecutorRunner
from edgekit.measure.tools.litert import BenchmarkLitertModel, BenchmarkModel
from edgekit.measure.tools.trtexec import Trtexec
from edgekit.runners import last_words

KINDS: dict[str, type[BenchmarkModel | BenchmarkLitertModel | ExecutorRunner | Trtexec]] = {
    "benchmark_model": BenchmarkModel,
    "benchmark_litert_model": BenchmarkLitertModel,
    "executor_runner": ExecutorRunner,
    "trtexec": Trtexec,
}


def tool_program(device: Device, tool: Tool, inputs: Sequence[TensorSpec] = ()) -> Program:
    """Copy a tool and its libraries to the device, and return the program that times artifacts with these `inputs`.

    EdgekitError: ``usage`` if the files are missing, here or on the device, ``missing_extra`` if the device's Python is
    not set up yet, ``unsupported_device`` if it cannot have one.
    """
    if len(inputs) > 1 and KINDS[tool.kind] is ExecutorRunner:
        message = f"{tool.kind} is given one input file, and this network has {len(inputs)} inputs."
        hint = "edgekit's own runner times networks with several inputs."
        raise EdgekitError(FailureKind.unsupported_target, "push", message, hint)
    environment = (
        ("env", f"LD_LIBRARY_PATH={device.push(_here(device, tool.libraries, folder=True))}") if tool.libraries else ()
    )
    command, facts = _command(device, tool)
    if KINDS[tool.kind] is Trtexec:
        return Trtexec((*environment, *command), tool.arguments, facts, tuple(inputs))
    return KINDS[tool.kind]((*environment, *command), tool.arguments, facts)


def _command(device: Device, tool: Tool) -> tuple[Sequence[str], dict[str, Any]]:
    """Return how the tool is started on the device, and facts about it for the conditions."""
    # It runs as the user of a shell, not as an app. edgekit's own runners report the same of themselves.
    facts: dict[str, Any] = {
        "runner": tool.kind,
        "runner_arguments": list(tool.arguments),
        "process_context": "shell",
    }
    if tool.device_program is not None:
        return (tool.device_program,), facts | _there(device, tool.device_program)
    if tool.program is None:
        if not isinstance(device, HasPython):
            message = f"{tool.kind} needs a Python environment on {device.profile.name}, which it does not have."
            raise EdgekitError(FailureKind.unsupported_device, "push", message)
        python = device.own_python()
        facts["runner_version"] = _litert_of(device, python)
        return (python, "-m", "ai_edge_litert.tools.benchmark_litert_model"), facts
    program = _here(device, tool.program)
    if not os.access(program, os.X_OK):  # as after a download
        message = f"The tool {program} of {device.profile.name} may not be executed."
        raise EdgekitError(FailureKind.usage, "push", message, f"Allow it: chmod +x {program}")
    return (device.push(program),), facts | {"runner": program.name, "runner_sha256": file_sha256(program)}


def _there(device: Device, program: str) -> dict[str, Any]:
    """Return facts about a program that the device has. EdgekitError (``usage``) if it has none, or may not run it."""
    done = device.run(("sh", "-c", 'test -f "$1" -a -x "$1" && sha256sum "$1"', "sh", program), 60)
    if done.exit_status:
        message = f"The tool {program} is not on {device.profile.name}, or may not be executed there."
        hint = "Correct its `device_program` under `tools` in the profile."
        raise EdgekitError(FailureKind.usage, "push", message, hint)
    return {"runner": Path(program).name, "runner_sha256": done.stdout.split()[0]}


def _litert_of(device: Device, python: str) -> str:
    """Return the version of ai-edge-litert in a device's Python."""
    result = device.run((python, "-c", "from importlib.metadata import version; print(version('ai-edge-litert'))"), 60)
    if result.exit_status:
        message = f"The Python of {device.profile.name} has no ai-edge-litert: {last_words('', result.stderr)}"
        raise EdgekitError(FailureKind.missing_extra, "push", message, "Its wheels need Python 3.10 and glibc 2.34.")
    return result.stdout.strip()


def _here(device: Device, place: str, folder: bool = False) -> Path:
    path = Path(place).expanduser()
    if not (path.is_dir() if folder else path.is_file()):
        message = f"The tool {path} of {device.profile.name} is not on this computer."
        raise EdgekitError(FailureKind.usage, "push", message, "Correct its path under `tools` in the profile.")
    return path
