"""Are edgekit's medians those of independent programs? Writes tables of docs/measurement.md.

TFLite: ai_edge_litert.tools.benchmark_litert_model, which feeds random numbers. ExecuTorch: benchmarks/executorch_loop.cpp, a
short C++ loop around its Module, which this program compiles. The same artifact, CPU and number of threads; all programs
take turns in each block, in a random order. What edgekit's runners and the loop compute is compared with PyTorch.
The tool prints hundredths of a millisecond.

Run on an idle machine: python benchmarks/against_benchmark_tool.py
It takes about 15 minutes. A short trial that writes nothing: python benchmarks/against_benchmark_tool.py --blocks 2 --recipe v1
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generated import write_part
from edgekit.build.photos import photo_set
from edgekit.config.paths import cache_folder
from edgekit.devices.base import Device, opened
from edgekit.devices.profile import load_profile
from edgekit.measure.session import Subject, run_session
from edgekit.measure.statistics import paired_ratio
from edgekit.pipeline.building import Ready, build_artifact
from edgekit.pipeline.measuring import Timing, provide_runners, push
from edgekit.pipeline.outputs import check_outputs, compare_on_device, references
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.turns import timing
from edgekit.protocol import Protocol
from edgekit.recipe.loading import load_recipe
from edgekit.runners.bundle.build import CPP_FLAGS, EXECUTORCH_LIBRARIES

RECIPES = ("v1", "v2", "v3_large", "v3_small")
TARGETS = ("tflite/xnnpack/fp32", "tflite/xnnpack/int8", "executorch/xnnpack/fp32")
BLOCKS = 6
LIMIT = 0.02
LOOP = Path(__file__).with_name("executorch_loop.cpp")
TOOL = "ai_edge_litert.tools.benchmark_litert_model"
PYTHON, NATIVE = "python", "native"
Timed = Callable[[bool], float]
"""Runs one process and returns its median in ms; on request it also compares what it computed."""


@dataclass
class Cell:
    """One artifact, the programs that time it, and their medians in ms by block."""

    name: str
    programs: Mapping[str, Timed]
    independent: str
    medians: dict[str, dict[int, float]] = field(default_factory=dict)


def compiled_loop(folder: Path) -> Path:
    """Compile the loop against the installed ExecuTorch."""
    import executorch

    (place,) = executorch.__path__
    include, libraries, program = Path(place) / "include", Path(place) / "lib", folder / "loop"
    includes = ("-isystem", include, "-isystem", include / "executorch/runtime/core/portable_type/c10")
    linked = (f"-L{libraries}", *EXECUTORCH_LIBRARIES, f"-Wl,-rpath,{libraries}", "-o", program)
    subprocess.run([*map(str, ("g++", *CPP_FLAGS, *includes, LOOP, *linked))], check=True)
    return program


def own(device: Device, subject: Subject, ready: Ready, protocol: Protocol, folder: Path) -> Timed:
    """Return how one of edgekit's runners times a subject."""

    def timed(compared: bool) -> float:
        session = run_session(device, subject, protocol, with_output=compared)
        if compared:
            compare_on_device(device, subject, ready, folder)
        return session.centre

    return timed


def of_tool(device: Device, subject: Subject, protocol: Protocol, runs: int, folder: Path) -> Timed:
    """Return how LiteRT's benchmark tool times a subject: `runs` times, after half as many for warm-up."""
    (cpu,) = device.timing_cpus()
    result = folder / "result.json"
    command = ["taskset", "-c", str(cpu), sys.executable, "-m", TOOL, f"--model={subject.model}", "--num_threads=1"]
    command += [f"--num_runs={runs}", f"--warmup_runs={max(1, runs // 2)}", f"--result_json={result}"]

    def timed(compared: bool) -> float:
        done = device.run(command, protocol.session_timeout)
        if done.exit_status:
            raise RuntimeError(done.stderr)
        found = json.loads(result.read_text())
        if not found["fully_accelerated"]:
            raise RuntimeError(f"{TOOL} did not run {subject.name} on the delegate")
        return float(found["latency"]["median_ms"])

    return timed


def of_loop(device: Device, subject: Subject, ready: Ready, protocol: Protocol, program: Path, folder: Path) -> Timed:
    """Return how the C++ loop times a subject."""
    (cpu,) = device.timing_cpus()
    output = folder / "loop.bin"
    limits = (protocol.warmup_seconds, protocol.min_seconds, protocol.iterations)
    command = ["taskset", "-c", *map(str, (cpu, program, subject.model, subject.input, output, *limits))]

    def timed(compared: bool) -> float:
        done = device.run(command, protocol.session_timeout)
        if done.exit_status:
            raise RuntimeError(done.stderr)
        if compared:
            first = references(ready.prepared, [0])
            manifest, parity = ready.artifact.manifest, ready.plan.recipe.parity
            check_outputs(np.fromfile(output, np.float32), first, manifest, parity, ("the loop", "this machine"))
        return float(np.median([int(line) for line in done.stdout.split()])) / 1e6

    return timed


def cell(stack: ExitStack, recipe: str, target: str, protocol: Protocol, loop: Path) -> Cell:
    """Build an artifact, or take it from the cache, and bring it to edgekit's runners of this machine."""
    plan = Plan.of(load_recipe(recipe, ("weights={random: 0}",)), [target], photo_set())
    prepared, artifact = build_artifact(plan, print, cache_folder() / "logs" / "benchmarks")
    ready = Ready(0, artifact, plan, prepared)
    folder = Path(stack.enter_context(TemporaryDirectory()))
    programs: dict[str, Timed] = {}
    subject: Subject | None = None
    for runner in (PYTHON, NATIVE):
        device = stack.enter_context(opened(load_profile("host", (f"runner={runner}",))))
        provide_runners(device, print)
        place = folder / runner
        place.mkdir()
        subject = push(device, Timing(ready, target, None), place)
        programs[runner] = own(device, subject, ready, protocol, place)
    assert subject
    independent = TOOL if target.startswith("tflite") else LOOP.name
    if independent == TOOL:
        runs = max(protocol.iterations, round(protocol.min_seconds * 1e3 / programs[NATIVE](False)))
        programs[independent] = of_tool(device, subject, protocol, runs, folder)
    else:
        programs[independent] = of_loop(device, subject, ready, protocol, loop, folder)
    return Cell(f"{recipe} {target}", programs, independent)


def measure(cells: list[Cell], blocks: int) -> None:
    """Run every program on every artifact once per block, in a random order; compare the outputs in the first."""
    random = np.random.default_rng(0)
    turns = [(own_cell, program) for own_cell in cells for program in own_cell.programs]
    for block in range(blocks):
        for place in random.permutation(len(turns)).tolist():
            turn, program = turns[place]
            turn.medians.setdefault(program, {})[block] = turn.programs[program](block == 0)
        print(f"block {block + 1} of {blocks} is done", flush=True)


def table(cells: list[Cell], blocks: int) -> str:
    """Return the table in Markdown: medians, and ratios with paired intervals."""
    lines = [
        f"| {blocks} blocks | independent program, ms | Python runner / independent | native runner / independent |",
        "| --- | --- | --- | --- |",
    ]
    for one in cells:
        independent = one.medians[one.independent]
        texts = []
        for runner in (PYTHON, NATIVE):
            ratio, interval = paired_ratio(one.medians[runner], independent)
            within = "" if abs(ratio - 1) <= LIMIT else " (over 2 %)"
            texts.append(f"{ratio:.3f} [{interval.low:.3f}, {interval.high:.3f}]{within}")
        lines.append(f"| {one.name} | {np.median(list(independent.values())):.2f} | {' | '.join(texts)} |")
    confidence = paired_ratio(independent, independent)[1].confidence
    return "\n".join(lines) + f"\n\nIntervals of {confidence:.0%} or more, from the ratios of each block.\n"


def main() -> None:
    """Measure, print the table, and write it into the page if the run is a full one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, help="fewer or more blocks than 6; then nothing is written")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="only these; then nothing is written")
    arguments = parser.parse_args()
    blocks = arguments.blocks or BLOCKS
    protocol = Protocol(name="against", sessions=blocks, iterations=50, min_seconds=1.0, warmup_seconds=0.5)
    with ExitStack() as stack, TemporaryDirectory() as folder:
        loop = compiled_loop(Path(folder))
        recipes = arguments.recipe or RECIPES
        cells = [cell(stack, recipe, target, protocol, loop) for recipe in recipes for target in TARGETS]
        with opened(load_profile("host")) as device, timing(device, print):
            measure(cells, blocks)
    found = table(cells, blocks)
    print(found)
    if arguments.blocks is None and arguments.recipe is None:
        write_part("against_benchmark_tool.py", found)


if __name__ == "__main__":
    main()
