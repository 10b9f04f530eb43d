"""Is real interference found, and is there none on a quiet machine? Measures on this machine.

Each trial is a measurement of six sessions, judged as a run judges it. A competing program runs on the timed CPU, in all
sessions or in two of six; or a cgroup's quota leaves the process half of a CPU, as a stand-in for throttling. The trials of
all conditions take turns in a random order.

Run on an idle machine, as root: python benchmarks/interference.py
It takes about 15 minutes. A short trial that writes nothing: python benchmarks/interference.py --trials 2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generated import write_part
from benchmarks.this_machine import measured_here
from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, Failure
from edgekit.measure.disturbances import marks, usual
from edgekit.measure.session import Interleaved, Session, Subject
from edgekit.measure.verdict import Judgement, judge
from edgekit.pipeline.recording import summarise_sessions
from edgekit.protocol import Protocol

RECIPE, TARGET = "v3_small", "tflite/xnnpack/fp32"
PROTOCOL = Protocol(name="interference", sessions=6, iterations=50, min_seconds=0.5, warmup_seconds=0.2)
TRIALS, LEAST_FOUND, MOST_FALSE = 40, 0.95, 0.05
FOUND = {"interfered", "throttled"}
CGROUPS = Path("/sys/fs/cgroup")
QUOTA, PERIOD = 50_000, 100_000
"""Microseconds of CPU time in each period."""


@contextmanager
def competing(cpu: int) -> Iterator[None]:
    """Keep a CPU busy."""
    busy = subprocess.Popen(["taskset", "-c", str(cpu), sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@contextmanager
def quota(cpu: int) -> Iterator[None]:
    """Leave this process and its children half of a CPU, by a cgroup of version 1 or 2."""
    old = (CGROUPS / "cpu").is_dir()
    top = CGROUPS / "cpu" if old else CGROUPS
    group = top / f"edgekit-{os.getpid()}"
    if not old:
        (top / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir()
    try:
        if old:
            (group / "cpu.cfs_quota_us").write_text(str(QUOTA))
        else:
            (group / "cpu.max").write_text(f"{QUOTA} {PERIOD}")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (top / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


def none(cpu: int) -> AbstractContextManager[None]:
    """Leave the machine as it is."""
    return nullcontext()


@dataclass(frozen=True)
class Condition:
    """What happens to the sessions of some blocks, and whether a verdict should name it."""

    name: str
    disturb: Callable[[int], AbstractContextManager[None]]
    blocks: tuple[int, ...] = tuple(range(PROTOCOL.sessions))


CONDITIONS = (
    Condition("nothing", none),
    Condition("a program on the same CPU", competing),
    Condition("a program on the same CPU, in two of six sessions", competing, (1, 4)),
    Condition("a quota of half a CPU", quota),
)


@dataclass
class Heard:
    """The sessions of one measurement, in order."""

    sessions: list[Session] = field(default_factory=list)

    def check(self, index: int) -> None:
        """Do nothing: what the artifact computes is not the question."""

    def on_session(self, index: int, block: int, session: Session) -> None:
        """Keep a session."""
        self.sessions.append(session)

    def on_failure(self, index: int, failure: Failure) -> None:
        """End the benchmark."""
        raise EdgekitError(**vars(failure))


def trial(device: Device, subject: Subject, condition: Condition, seed: int) -> Judgement:
    """Measure once under a condition, and judge."""
    (cpu,) = device.timing_cpus()
    heard = Heard()
    turns = Interleaved(device, {0: subject}, PROTOCOL, seed, heard)
    for block in range(PROTOCOL.sessions):
        with condition.disturb(cpu) if block in condition.blocks else nullcontext():
            turns.block(block)
    seen = {block: session.environment for block, session in enumerate(heard.sessions)}
    samples = [session.samples for session in heard.sessions]
    summary = summarise_sessions(heard.sessions, PROTOCOL)
    return judge(summary, samples, marks(seen, usual(list(seen.values()))))


def table(verdicts: dict[str, list[str]], trials: int, soc: str) -> str:
    """Return the table in Markdown."""
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {soc}, {os.cpu_count()} CPUs: {RECIPE} {TARGET}, {trials} trials of each.",
        "",
        "| what happened | named `interfered` or `throttled` | verdicts |",
        "| --- | --- | --- |",
    ]
    for name, found in verdicts.items():
        share = sum(verdict in FOUND for verdict in found) / trials
        counted = ", ".join(f"{count} `{verdict}`" for verdict, count in Counter(found).most_common())
        lines.append(f"| {name} | {share:.1%} | {counted} |")
    return "\n".join(lines) + "\n"


def passes(verdicts: dict[str, list[str]]) -> bool:
    """Return whether interference was found often enough, and a quiet machine was not accused."""
    shares = {name: np.mean([verdict in FOUND for verdict in found]) for name, found in verdicts.items()}
    quiet = shares.pop("nothing")
    return bool(quiet <= MOST_FALSE and min(shares.values()) >= LEAST_FOUND)


def main() -> int:
    """Measure, print the table, and write it into the page if it is a whole run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=TRIALS)
    trials = parser.parse_args().trials
    verdicts: dict[str, list[str]] = {condition.name: [] for condition in CONDITIONS}
    with measured_here(RECIPE, TARGET) as (device, subject):
        soc = str(device.identify().facts["soc"])
        order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(CONDITIONS)), trials))
        for number, which in enumerate(order.tolist()):
            condition = CONDITIONS[which]
            found = trial(device, subject, condition, number)
            verdicts[condition.name].append(found.verdict)
            print(f"{number + 1} of {len(order)}: {condition.name}: {found.verdict}: {found.evidence}", flush=True)
    text = table(verdicts, trials, soc)
    print(text)
    if trials >= TRIALS:
        write_part("interference.py", text)
    return 0 if passes(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
