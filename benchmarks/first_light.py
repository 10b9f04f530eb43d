"""The figures of benchmarks/first_light.md (``make bench``). Targets take turns within one run, ratios are paired by block."""

import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

RESULT = Path(__file__).with_suffix(".md")
EDGEKIT = [sys.executable, "-m", "edgekit"]
DEPLOY = ["deploy", "recipes/v3_large.yaml", "--device", "host", "--protocol", "1t-big", "--json"]
AGREEMENT = [sys.executable, "-m", "pytest", "-q", "tests/accuracy", "-k", "labelled"]


def help_seconds():
    times = []
    for _ in range(11):
        start = time.perf_counter()
        subprocess.run([*EDGEKIT, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    start = time.perf_counter()
    done = subprocess.run([*EDGEKIT, *DEPLOY], stdout=subprocess.PIPE, text=True, check=True)
    wall = time.perf_counter() - start
    document = json.loads(done.stdout)
    report = subprocess.run(
        [*EDGEKIT, "report", "--run", document["run"]], stdout=subprocess.PIPE, text=True, check=True
    )
    ratios = "".join(
        f"- {one['target']} is {one['speedup']:.2f} [{one['interval'][0]:.2f}, {one['interval'][1]:.2f}] times as fast as "
        f"{one['baseline']} ({one['interval_confidence']:.1%} interval, paired by block).\n"
        for one in document["ratios"]
    )
    delegates = ", ".join(
        f"{one['target']} {one['delegate_partitions']}" for one in document["artifacts"] if one["delegate_partitions"]
    )
    agreement = subprocess.run(AGREEMENT, stdout=subprocess.PIPE, text=True, check=True).stdout
    (agreed,) = [line for line in agreement.splitlines() if line.startswith("MobileNetV2")]
    RESULT.write_text(
        f"# First light\n\nMade by `make bench` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{platform.machine()}. The command: `edgekit {' '.join(DEPLOY)}`, {wall:.0f} s.\n\n{report.stdout}\n"
        f"## Ratios\n\n{ratios}\nDelegate partitions: {delegates}.\n\n"
        f"{agreed} (`pytest {' '.join(AGREEMENT[3:])}`)\n\n"
        f"`edgekit --help`: {help_seconds() * 1000:.0f} ms (median of 11).\n"
    )
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
