"""Sessions as they come: into the ledger, judged at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from edgekit.backends.base import Manifest
from edgekit.errors import Failure
from edgekit.ledger import Ledger
from edgekit.measure.disturbances import Mark, Usual, marks, usual
from edgekit.measure.energy import energy
from edgekit.measure.fallback import fallback_evidence
from edgekit.measure.operators import stored_profile
from edgekit.measure.session import Session
from edgekit.measure.statistics import Summary, summarise, summarise_reported
from edgekit.measure.sustained import curve
from edgekit.measure.verdict import judge
from edgekit.protocol import Protocol


@dataclass
class Recorded:
    """The sessions of one measurement by their blocks, and those that a repeated block replaced, in order."""

    id: int
    sessions: dict[int, Session] = field(default_factory=dict)
    replaced: list[tuple[int, Session]] = field(default_factory=list)

    def add(self, ledger: Ledger, block: int, session: Session) -> None:
        """Record a session. If its block was repeated, it replaces the one before."""
        before = self.sessions.get(block)
        if before is not None:
            self.replaced.append((block, before))
        self.sessions[block] = session
        ledger.add_session(
            self.id,
            block,
            load_ns=session.load_ns,
            first_ns=session.first_ns,
            samples=session.samples,
            environment=written(session),
            started_at=session.started_at,
            replace=before is not None,
        )


def written(session: Session) -> dict[str, Any]:
    """Return a session's environment as the ledger keeps it."""
    reported = {"told": session.reported.model_dump()} if session.reported else {}
    return {**session.environment, **reported}


@dataclass
class Recorder:
    """Records the sessions of several measurements on one device. It is what interleaved subjects report to.

    `compare(index)` compares a subject's outputs; `session_came(index, block, session)` and `failed(index, failure)` are
    called after the ledger has it. `planned` is the number of sessions in the protocol. What fails later, in a block that is
    repeated or added, ends a measurement early (`ended_early`) and does not discard it.
    """

    ledger: Ledger
    measurements: Sequence[Recorded]
    compare: Callable[[int], None]
    session_came: Callable[[int, int, Session], None]
    failed: Callable[[int, Failure], None]
    planned: int
    gone: set[int] = field(default_factory=set)
    ended_early: dict[int, Failure] = field(default_factory=dict)

    def check(self, index: int) -> None:
        """Compare a subject's outputs."""
        self.compare(index)

    def on_session(self, index: int, block: int, session: Session) -> None:
        """Record a session."""
        self.measurements[index].add(self.ledger, block, session)
        self.session_came(index, block, session)

    def on_failure(self, index: int, failure: Failure) -> None:
        """Leave a subject out, unless it has all sessions of the protocol: then its measurement ends early."""
        if len(self.measurements[index].sessions) >= self.planned:
            self.ended_early[index] = failure
        else:
            self.discard(index, failure)

    def discard(self, index: int, failure: Failure) -> None:
        """Leave a subject out, whatever it has."""
        self.gone.add(index)
        self.failed(index, failure)

    def usual(self, index: int) -> Usual:
        """Return the usual speed of the device in the sessions of a measurement.

        Not in those of others: what ran before a reference kernel may have changed the CPU's clock.
        """
        return usual([session.environment for session in self.measurements[index].sessions.values()])

    def marks(self, index: int) -> list[Mark]:
        """Return what disturbed the sessions of a measurement, as far as is known now."""
        sessions = self.measurements[index].sessions
        return marks({block: session.environment for block, session in sessions.items()}, self.usual(index))

    def marked_blocks(self) -> list[int]:
        """Return the blocks in which a session that counts was disturbed."""
        counting = (index for index in range(len(self.measurements)) if index not in self.gone)
        return sorted({mark.block for index in counting for mark in self.marks(index)})

    def finish(self, index: int, protocol: Protocol, target: str, manifest: Manifest, facts: Mapping[str, Any]) -> None:
        """Judge a measurement, and record its result."""
        finish(self.ledger, self.measurements[index], protocol, target, manifest, facts, self.usual(index))


def finish(
    ledger: Ledger,
    recorded: Recorded,
    protocol: Protocol,
    target: str,
    manifest: Manifest,
    facts: Mapping[str, Any],
    normal: Usual,
    at: datetime | None = None,
) -> None:
    """Judge a measurement by its sessions, and record its result. `facts` of the device become conditions.

    `normal` is the usual speed of the device, and `at` is when the measurement ended; None means now.
    """
    environments = {block: session.environment for block, session in sorted(recorded.sessions.items())}
    sessions = [recorded.sessions[block] for block in environments]
    summary, found = summarise_sessions(sessions, protocol), marks(environments, normal)
    samples = [session.samples for session in sessions if session.reported is None]
    fallback = fallback_evidence(sessions[0].environment, stored_profile(facts))
    judgement = judge(summary, samples, found, fallback, emulated=facts.get("emulated") is True)
    # What differs between sessions stays with the sessions; conditions are what all of them shared.
    first, *others = environments.values()
    shared = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    conditions = {
        **facts,
        **shared,
        "delegate": target.split("/")[1],
        "edgekit": version("edgekit"),
        "tools": manifest.tools,
        "artifact_sha256": manifest.sha256,
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "marks": [mark.document() for mark in found],
        "energy": energy(list(environments.values()), [session.runs for session in sessions], facts.get("before", {})),
    }
    if recorded.replaced:
        conditions["replaced_sessions"] = [_replaced(block, session) for block, session in recorded.replaced]
    ledger.finish_measurement(
        recorded.id,
        verdict=judgement.verdict,
        evidence=judgement.evidence,
        summary=summary.model_dump(),
        conditions=conditions,
        at=at,
    )


def summarise_sessions(sessions: Sequence[Session], protocol: Protocol) -> Summary:
    """Summarise sessions by their samples, or by what the program reported instead of samples."""
    loads, firsts = [session.load_ns for session in sessions], [session.first_ns for session in sessions]
    reported = [session.reported for session in sessions if session.reported is not None]
    if reported:
        return summarise_reported(reported, loads, firsts)
    samples, seconds = [session.samples for session in sessions], protocol.window_seconds
    found = summarise(samples, loads, firsts, protocol.p90_rule)
    return found.model_copy(update={"windows": curve(samples, seconds), "window_seconds": seconds})


def _replaced(block: int, session: Session) -> dict[str, Any]:
    return {
        "block": block,
        "started_at": session.started_at.isoformat(),
        "centre_ms": session.centre,
        "load_ns": session.load_ns,
        "first_ns": session.first_ns,
        "samples_ns": list(session.samples),
        "environment": written(session),
    }
