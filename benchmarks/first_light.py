"""The figures of benchmarks/first_light.md (``make bench``). Targets take turns within one run, ratios are paired by block."""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from edgekit.ledger import Ledger
from edgekit.report.ratios import RatioEntry
from edgekit.report.tables import ratio_lines

RESULT = Path(__file__).with_suffix(".md")
EDGEKIT = [sys.executable, "-m", "edgekit"]
DEPLOY = ["deploy", "recipes/v3_large.yaml", "--device", "host", "--protocol", "1t-big", "--json"]
AGREEMENT = [sys.executable, "-m", "pytest", "-q", "tests/evaluation", "-k", "labelled"]


def help_seconds():
    times = []
    for _ in range(11):
        start = time.perf_counter()
        subprocess.run([*EDGEKIT, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def deploy(ledger):
    start = time.perf_counter()
    done = subprocess.run([*EDGEKIT, *DEPLOY, "--ledger", ledger], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout), time.perf_counter() - start


def runner_seconds(ledger, run):
    with Ledger.open(ledger) as opened:
        sessions = [session for one in opened.measurements(run) for session in opened.sessions(one.id)]
    return sum(session.environment["process_seconds"] for session in sessions)


def main():
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"sqlite:///{folder}/ledger.sqlite"
        _, first = deploy(ledger)
        document, second = deploy(ledger)
        overhead = second - runner_seconds(ledger, document["run"])
        command = [*EDGEKIT, "report", "--ledger", ledger, "--run", document["run"]]
        report = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    agreement = subprocess.run(AGREEMENT, stdout=subprocess.PIPE, text=True, check=True).stdout
    (agreed,) = [line for line in agreement.splitlines() if line.startswith("MobileNetV2")]
    ratios = "".join(
        f"- {line}\n" for line in ratio_lines([RatioEntry.model_validate(one) for one in document["ratios"]])
    )
    delegates = ", ".join(
        f"{one['target']} {one['delegate_partitions']}" for one in document["artifacts"] if one["delegate_partitions"]
    )
    RESULT.write_text(
        f"# First light\n\nMade by `make bench` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{platform.machine()}. The command, run twice: `edgekit {' '.join(DEPLOY)}`: {first:.0f} s (whatever was in the "
        f"cache), then {second:.0f} s with everything in the cache, of which {overhead:.1f} s ({overhead / second:.0%}) are "
        f"edgekit's own: wall time less the runners' processes. The table is of the second.\n\n{report}\n"
        f"## Ratios\n\n{ratios}\nDelegate partitions: {delegates}.\n\n"
        f"{agreed} (`pytest {' '.join(AGREEMENT[3:])}`)\n\n"
        f"`edgekit --help`: {help_seconds() * 1000:.0f} ms (median of 11).\n"
    )


if __name__ == "__main__":
    main()
