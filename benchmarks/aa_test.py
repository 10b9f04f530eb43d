"""A/A: does edgekit find a difference where there is none, and one of 3 % where there is? Measures on this machine.

One artifact is measured as several copies that take turns in blocks, by edgekit's own runner. Every two copies of a
group of blocks are a pair. Each pair is judged as a run judges it (paired ratio) and as `edgekit diff` does. Then all
samples of its second copy are multiplied by 1.03, and it is judged again: an injected difference, not a measured one.

Run on an idle machine: python benchmarks/aa_test.py
It takes about 20 minutes: 60 pairs. A short trial that writes nothing: python benchmarks/aa_test.py --pairs 3
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generated import write_part
from benchmarks.this_machine import measured_here
from edgekit.comparison.ratio import ratio
from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, Failure
from edgekit.measure.session import Interleaved, Session, Subject
from edgekit.measure.statistics import paired_ratio, session_centre
from edgekit.protocol import Protocol

INJECTED = 1.03
WANTED_PAIRS, MOST_FALSE, LEAST_FOUND = 60, 0.05, 0.80
JUDGES = ("paired ratio of a run", "`edgekit diff`")
Blocks = Mapping[int, Sequence[int]]
"""Block -> the samples of its session, in nanoseconds."""


@dataclass(frozen=True)
class Design:
    """What is measured: `blocks` of one comparison, `copies` of the artifact, and at least so many `pairs`."""

    recipe: str
    target: str
    pairs: int
    blocks: int
    copies: int
    seconds: float

    @property
    def groups(self) -> int:
        """How many groups of blocks give the pairs."""
        return math.ceil(self.pairs / math.comb(self.copies, 2))

    @property
    def protocol(self) -> Protocol:
        """The sessions of all groups, one after the other."""
        return Protocol(
            name="aa-test",
            sessions=self.groups * self.blocks,
            iterations=50,
            min_seconds=self.seconds,
            warmup_seconds=0.2,
        )


def differs(first: Blocks, second: Blocks, factor: float = 1.0) -> tuple[bool, bool]:
    """Return whether a run and `diff` say that two copies differ, with the second's samples times `factor`."""
    one, other = (
        {block: session_centre([round(scale * sample) for sample in samples], None) for block, samples in own.items()}
        for own, scale in ((first, 1.0), (second, factor))
    )
    _, interval = paired_ratio(other, one)
    return not interval.low <= 1 <= interval.high, ratio(list(one.values()), list(other.values())).shown


def judged(measured: Sequence[Blocks], design: Design, factor: float) -> list[tuple[bool, bool]]:
    """Return the judgements of every pair of copies in every group of blocks."""
    found = []
    for group in range(design.groups):
        blocks = range(group * design.blocks, (group + 1) * design.blocks)
        own = [{block: copy[block] for block in blocks} for copy in measured]
        found += [differs(first, second, factor) for first, second in combinations(own, 2)]
    return found


def measure(design: Design) -> tuple[list[Blocks], str]:
    """Measure all copies on this machine; return their sessions and the processor's name."""
    with measured_here(design.recipe, design.target) as (device, subject):
        return _measure_copies(device, subject, design), str(device.identify().facts["soc"])


class Copies:
    """Takes the sessions of each copy."""

    def __init__(self, design: Design) -> None:
        self.blocks = design.protocol.sessions
        self.sessions: list[dict[int, Sequence[int]]] = [{} for _ in range(design.copies)]

    def check(self, index: int) -> None:
        """Accept the outputs: the artifact was compared with PyTorch when it was built."""

    def on_session(self, index: int, block: int, session: Session) -> None:
        """Keep the samples."""
        self.sessions[index][block] = session.samples
        print(f"block {block + 1} of {self.blocks}, copy {index}: {session.centre:.3f} ms", flush=True)

    def on_failure(self, index: int, failure: Failure) -> None:
        """Stop: a copy that fails leaves no pairs."""
        raise EdgekitError(**vars(failure))


def _measure_copies(device: Device, subject: Subject, design: Design) -> list[Blocks]:
    copies = {index: replace(subject, name=f"{subject.name} copy {index}") for index in range(design.copies)}
    taken = Copies(design)
    Interleaved(device, copies, design.protocol, 0, taken).run()
    return list(taken.sessions)


def table(measured: Sequence[Blocks], design: Design, soc: str, minutes: float) -> str:
    """Return the result in Markdown."""
    lines = [
        f"{design.recipe} {design.target}: {design.blocks} blocks for a comparison, {design.copies} copies in each, "
        f"sessions of {design.seconds:g} s.",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} in {minutes:.0f} minutes, {soc}.",
        "",
        "| judged by | pairs | no difference: `A differs from B` | 3 % injected: found |",
        "| --- | ---: | ---: | ---: |",
    ]
    same, other = (judged(measured, design, factor) for factor in (1.0, INJECTED))
    for judge, name in enumerate(JUDGES):
        alarms, found = (sum(pair[judge] for pair in pairs) for pairs in (same, other))
        lines.append(f"| {name} | {len(same)} | {_share(alarms, len(same))} | {_share(found, len(same))} |")
    return "\n".join(lines) + "\n"


def _share(count: int, of: int) -> str:
    """Return a share with its exact 95 % interval (Clopper and Pearson), as if the pairs were independent."""
    interval = stats.binomtest(count, of).proportion_ci()
    return f"{count} ({count / of:.1%}) [{interval.low:.1%}, {interval.high:.1%}]"


def passed(measured: Sequence[Blocks], design: Design) -> bool:
    """Return whether both judges have few false alarms and find the injected difference."""
    same, other = (judged(measured, design, factor) for factor in (1.0, INJECTED))
    shares = [[sum(pair[judge] for pair in pairs) / len(pairs) for pairs in (same, other)] for judge in range(2)]
    return all(alarms <= MOST_FALSE and found >= LEAST_FOUND for alarms, found in shares)


def main() -> int:
    """Measure, print the table, and write it if there are enough pairs; 1 if a share is not as wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="recipes/v3_small.yaml")
    parser.add_argument("--target", default="tflite/xnnpack/fp32")
    parser.add_argument("--pairs", type=int, default=WANTED_PAIRS)
    parser.add_argument("--blocks", type=int, default=12, help="of one comparison")
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of timed runs in a session")
    design = Design(**vars(parser.parse_args()))
    start = time.monotonic()
    measured, soc = measure(design)
    found = table(measured, design, soc, (time.monotonic() - start) / 60)
    print(found)
    if design.groups * math.comb(design.copies, 2) < WANTED_PAIRS:
        print(f"Not written: {WANTED_PAIRS} pairs are needed.")
        return 0
    write_part("aa_test.py", found)
    return 0 if passed(measured, design) else 1


if __name__ == "__main__":
    sys.exit(main())
