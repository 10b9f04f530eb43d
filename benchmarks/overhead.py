"""How much longer `edgekit profile` takes than its runners' processes, with artifacts in the cache; and where that time goes.

Writes a table of docs/measurement.md. Run on an idle machine: python benchmarks/overhead.py
It takes about 5 minutes. A short trial that writes nothing: python benchmarks/overhead.py --protocol emulated
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generated import write_part
from edgekit.ledger import Ledger

RECIPES = ("v1", "v2", "v3_small")
TARGETS = "tflite/xnnpack/fp32,tflite/xnnpack/int8,executorch/xnnpack/fp32"
PROTOCOL = "1t-big"
LIMIT = 0.10


def profile(ledger: str, protocol: str) -> tuple[float, list[tuple[float, str]]]:
    """Profile the recipes on this machine; return the wall time, and the seconds at which each line of progress came."""
    command = [sys.executable, "-m", "edgekit", "profile", "--device", "host", "--targets", TARGETS]
    command += ["--protocol", protocol, "--set", "weights={random: 0}", "--ledger", ledger]
    command += [part for recipe in RECIPES for part in ("--recipe", recipe)]
    start = time.monotonic()
    lines = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ) as run:
        assert run.stderr
        for line in run.stderr:
            lines.append((time.monotonic() - start, line))
        if run.wait() not in (0, 3):
            raise RuntimeError("".join(line for _, line in lines))
    return time.monotonic() - start, lines


def runner_seconds(ledger: str) -> float:
    """Return how long the runners' processes took together, from start to exit."""
    with Ledger.open(ledger) as opened:
        measurements = opened.measurements()
        sessions = [session for found in measurements for session in opened.sessions(found.id)]
        passes = [(found.conditions or {}).get("memory", {}).get("process_seconds", 0.0) for found in measurements]
    return sum(session.environment["process_seconds"] for session in sessions) + sum(passes)


def table(wall: float, runners: float, lines: list[tuple[float, str]]) -> str:
    """Return the table in Markdown."""
    sessions = [at for at, line in lines if ": session " in line]
    built = max((at for at, line in lines if "from the cache" in line), default=0.0)
    first = lines[0][0]
    parts = {
        "whole run": wall,
        "runners' processes": runners,
        "overhead": wall - runners,
        "of it: start, until the first line": first,
        "of it: models and artifacts from the cache": built - first,
        "of it: between and beside the processes": sessions[-1] - built - runners,
        "of it: after the last session (includes the memory pass)": wall - sessions[-1],
    }
    rows = [f"| {name} | {seconds:.1f} | {seconds / wall:.1%} |" for name, seconds in parts.items()]
    return "\n".join([f"| {len(sessions)} sessions | s | share |", "| --- | --- | --- |", *rows]) + "\n"


def main() -> None:
    """Compile what is missing, measure, print the table, and write it into the page if the protocol is the default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", help="another protocol; then nothing is written")
    protocol = parser.parse_args().protocol or PROTOCOL
    with TemporaryDirectory() as folder:
        profile(f"sqlite:///{folder}/first.sqlite", "emulated")  # what is not in the cache is compiled
        ledger = f"sqlite:///{folder}/ledger.sqlite"
        wall, lines = profile(ledger, protocol)
        runners = runner_seconds(ledger)
    found = table(wall, runners, lines)
    print(found)
    print(f"overhead: {(wall - runners) / wall:.1%}; the limit is {LIMIT:.0%}")
    if protocol == PROTOCOL:
        write_part("overhead.py", found)


if __name__ == "__main__":
    main()
