"""How select and report grow with the ledger: 1000, 10,000 and 100,000 measurements with up to 20 million samples.

50 recipes x 4 targets x 5 devices are measured 1, 10 and 100 times (tests/synthetic_ledger.py). Each command runs in a process of
its own, as a user starts it: wall time and the most resident memory. Writes benchmarks/ledger_scale.md; about five minutes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edgekit.build.worker import usable_cpus
from edgekit.ledger import Ledger

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.synthetic_ledger import TARGETS, Spec, write  # noqa: E402

REPEATS = (1, 10, 100)
ROUNDS = 5
COMMANDS = {
    "edgekit select --device device0 --max-latency 20ms": 2.0,
    "edgekit select --device device0 --device device1 --max-latency 20ms": 2.0,
    "edgekit report": 10.0,
    "edgekit ledger info": None,
}
"""Command -> the seconds that it may take on the largest ledger."""


@dataclass(frozen=True)
class Run:
    """What a command took: wall time in seconds, processor time in seconds, most resident memory in MiB."""

    seconds: float
    processor: float
    memory: float


LAUNCHER = """
import json, os, sys, time
start = time.monotonic()
pid = os.posix_spawn(sys.executable, [sys.executable, "-m", *sys.argv[1:]], os.environ,
    file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - start, usage.ru_utime + usage.ru_stime,
    usage.ru_maxrss / 1024]))
"""
"""Starts a command and measures it. It is small, because the memory of whoever starts a command counts as the command's."""


def run(command: str, url: str) -> Run:
    arguments = [sys.executable, "-S", "-c", LAUNCHER, *command.split()]
    environment = {**os.environ, "EDGEKIT_LEDGER": url}
    found = subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True)
    code, *figures = json.loads(found.stdout)
    if code not in {0, 3}:
        raise SystemExit(f"{command} ended with {code}: {found.stderr}")
    return Run(*figures)


def main() -> None:
    load = os.getloadavg()[0]
    rows: dict[str, list[Run]] = {command: [] for command in COMMANDS}
    facts = []
    for repeats in REPEATS:
        spec = Spec(recipes=50, targets=TARGETS, devices=5, repeats=repeats, sessions=6, samples=34)
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/ledger.sqlite"
            start = time.monotonic()
            with Ledger.open(url) as ledger:
                measurements = len(write(ledger, spec).measured) * repeats
            written = time.monotonic() - start
            size = Path(folder, "ledger.sqlite").stat().st_size
            samples = measurements * spec.sessions * spec.samples
            facts.append(f"| {measurements:,} | {samples:,} | {size / 1e6:.0f} MB | {written:.0f} s |")
            for command in COMMANDS:
                found = [run(command, url) for _ in range(ROUNDS)]
                rows[command].append(sorted(found, key=lambda one: one.seconds)[ROUNDS // 2])
    (ROOT / "benchmarks" / "ledger_scale.md").write_text(page(rows, facts, load))


def page(rows: dict[str, list[Run]], facts: list[str], load: float) -> str:
    sizes = " | ".join(f"{1000 * repeats:,}" for repeats in REPEATS)
    table = []
    for command, runs in rows.items():
        times = " | ".join(f"{one.seconds:.2f} s ({one.processor:.2f} s)" for one in runs)
        limit = COMMANDS[command]
        table.append(f"| `{command}` | {times} | {runs[-1].memory:.0f} MiB | {f'{limit:.0f} s' if limit else 'none'} |")
    start = statistics.median(run("edgekit --help", "").seconds for _ in range(ROUNDS))
    return f"""# How the ledger scales

Made by `python benchmarks/ledger_scale.py` on {platform.machine()}, {usable_cpus()} CPUs, Python {platform.python_version()}.
50 recipes x 4 targets x 5 devices, measured 1, 10 and 100 times: 1000 cells, 6 sessions of 34 samples each.
Before the first run the load average was {load:.1f}: above 0.5, other programs took part of the CPUs.

| measurements | samples | file | written in |
| --- | --- | --- | --- |
{chr(10).join(facts)}

Wall time (processor time) of the whole command, median of {ROUNDS}; the memory is that of the largest ledger, the goal 1024 MiB.
A wall time that is far above the processor time shows that other programs had the CPUs.
`edgekit --help` takes {start:.2f} s.

| command | {sizes} measurements | memory | goal |
| --- | --- | --- | --- | --- | --- |
{chr(10).join(table)}
"""


if __name__ == "__main__":
    main()
