"""What the ledger knows of each model that could be shipped, and why some of them take no part.

A candidate is one artifact, run as one target: its latencies, its accuracy and its size are of exactly this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.ledger import Ledger
from edgekit.ledger.queries import ID_DIGITS
from edgekit.ledger.records import ArtifactRecord, DeviceRecord, FailureRecord, MeasurementRecord
from edgekit.measure.verdict import NEXT_STEPS
from edgekit.selection.question import Question
from edgekit.target import fits_target

MIN_SESSIONS = 3
"""With fewer, the spread between sessions is next to unknown."""
Key = tuple[str, str, str, str, str]
"""Recipe, model, variant, target, hash of the artifact."""


class Reason(StrEnum):
    """Why a model takes no part."""

    failed = "failed"
    noisy = "noisy"
    too_few_sessions = "too_few_sessions"
    not_measured = "not_measured"
    no_runtime = "no_runtime"
    no_accuracy = "no_accuracy"
    other_photos = "other_photos"
    other_metric = "other_metric"
    emulated = "emulated"
    other_protocol = "other_protocol"
    other_clock = "other_clock"
    other_device = "other_device"
    no_p90 = "no_p90"
    too_large = "too_large"
    too_much_memory = "too_much_memory"
    unknown_memory = "unknown_memory"
    random_weights = "random_weights"


@dataclass(frozen=True)
class Problem:
    """Why a model takes no part: on which device (its id), in a sentence, and what to do."""

    reason: Reason
    message: str
    hint: str = ""
    device: str | None = None


@dataclass(frozen=True)
class Accuracy:
    """An accuracy in percent with its 95 % interval; of `n` photos, None if it is published.

    `only_this` and `only_that` count the photos that only this artifact, and only the baseline, gets right. `baseline` is
    the hash of the baseline. All three are None if nothing was compared on these photos.
    """

    value: float
    interval: tuple[float, float]
    kind: str
    metric: str
    n: int | None = None
    data_set: str | None = None
    subset_sha256: str | None = None
    baseline: str | None = None
    only_this: int | None = None
    only_that: int | None = None


@dataclass
class Candidate:
    """A model that could be shipped. `problems` are empty if it takes part.

    `timings` and `centres` (of sessions, ms) are by device id. `memory_bytes` is the peak of the program that ran it.
    """

    recipe: str
    variant: str
    model: str
    target: str
    sha256: str | None
    manifest: dict[str, Any] | None
    timings: dict[str, MeasurementRecord] = field(default_factory=dict)
    centres: dict[str, tuple[float, ...]] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    memory_bytes: int | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """The key of the candidate."""
        return (self.recipe, self.model, self.variant, self.target, self.sha256 or "")

    @property
    def size_bytes(self) -> int | None:
        """The bytes of its file; None if nothing was built."""
        return int(self.manifest["size_bytes"]) if self.manifest else None


@dataclass
class Field:
    """Everyone that was looked at: those who take part, those who do not, and what they were measured by."""

    devices: list[DeviceRecord]
    conditions: dict[str, Conditions]
    candidates: list[Candidate]
    excluded: list[Candidate]


@dataclass(frozen=True)
class Conditions:
    """What latencies must share to be compared: the protocol's name, how clocks were held, and no emulator."""

    protocol: str
    clock: str
    emulated: bool

    @staticmethod
    def of(measurement: MeasurementRecord) -> Conditions:
        """Return those of a measurement."""
        conditions = measurement.conditions or {}
        clock = str((conditions.get("before") or {}).get("clock_rung", "unknown"))
        return Conditions(str(measurement.protocol["name"]), clock, bool(conditions.get("emulated")))


def gather(ledger: Ledger, question: Question) -> Field:
    """Return everyone that the question is about, without accuracies; UsageError for a device that nothing was measured on."""
    measured = ledger.measurements(latest=True, devices=question.devices, recipes=question.recipes)
    _check_names(ledger, question)
    measured = [record for record in measured if _asked(question, record.recipe, record.target)]
    devices = [_device_named(ledger, name, measured) for name in question.devices]
    ids = {device.id for device in devices}
    if len(ids) < len(devices):
        raise UsageError(f"{' and '.join(question.devices)} name the same device.", "Name each device once.")
    chosen = {device.id: _common_conditions(device.id, measured, question) for device in devices}
    known: dict[Key, Candidate] = {}
    elsewhere = []
    for record in measured:
        candidate = known.setdefault(_key(record, record.artifact_sha256), _candidate(record, record.artifact_sha256))
        own = Conditions.of(record)
        if record.device_id in ids and own == chosen[record.device_id] and not own.emulated:
            candidate.timings.setdefault(record.device_id, record)  # the newest: runners may differ
        else:
            elsewhere.append(record)
    for artifact in ledger.artifacts(latest=True):
        if _asked(question, artifact.recipe, artifact.target):
            known.setdefault(_key(artifact, artifact.sha256), _candidate(artifact, artifact.sha256))
    for failure in ledger.failures(latest=True):
        _add_failure(known, failure, devices, question)
    for record in elsewhere:
        _add_other_measurement(known[_key(record, record.artifact_sha256)], record, devices, chosen)
    candidates = [known[key] for key in sorted(known)]
    _add_sessions(ledger, candidates)
    runs = {(record.device_id, _runtime(record.target)) for record in measured}
    for candidate in candidates:
        _add_problems(candidate, devices, question, runs)
    return Field(
        devices,
        chosen,
        [candidate for candidate in candidates if not candidate.problems],
        [candidate for candidate in candidates if candidate.problems],
    )


def _check_names(ledger: Ledger, question: Question) -> None:
    """UsageError for a recipe, target or runtime that the ledger holds neither an artifact nor a failure of."""
    if not (question.recipes or question.targets or question.runtimes):
        return
    tried: list[ArtifactRecord | FailureRecord] = [*ledger.artifacts(latest=True), *ledger.failures(latest=True)]
    recipes = {record.recipe for record in tried}
    targets = {record.target for record in tried if record.target is not None}
    runtimes = set(map(_runtime, targets))
    unknown = [("recipe", name, recipes) for name in question.recipes if name not in recipes]
    unknown += [("runtime", name, runtimes) for name in question.runtimes if name not in runtimes]
    for name in question.targets:
        if not any(fits_target(target, name) for target in targets):
            unknown.append(("target", name, targets))
    for what, name, known in unknown:
        raise UsageError(f"The ledger holds no result of the {what} {name}.", did_you_mean(name, known))


def _runtime(target: str) -> str:
    return target.partition("/")[0]


def _asked(question: Question, recipe: str, target: str) -> bool:
    return (
        (not question.recipes or recipe in question.recipes)
        and (not question.targets or any(fits_target(target, name) for name in question.targets))
        and (not question.runtimes or _runtime(target) in question.runtimes)
    )


def _device_named(ledger: Ledger, name: str, measured: Sequence[MeasurementRecord]) -> DeviceRecord:
    """Return the device of a name or id that was measured last."""
    devices = {device.id: device for device in ledger.devices()}
    for record in measured:  # newest first
        if record.device_name == name or _is_id(record.device_id, name):
            return devices[record.device_id]
    known = {device.name for device in devices.values()}
    if name in known or any(_is_id(id, name) for id in devices):
        message = f"Nothing that this question is about was measured on {name}."
        raise UsageError(message, f"Measure first: edgekit profile --device {name}. Or ask with fewer limits.")
    raise UsageError(f"The ledger knows no device {name}.", did_you_mean(name, known))


def _is_id(id: str, text: str) -> bool:
    return len(text) >= ID_DIGITS and id.startswith(text)


def _common_conditions(device: str, measured: Iterable[MeasurementRecord], question: Question) -> Conditions:
    """Return the conditions that most measurements on a device share; of the asked protocol, and not emulated if possible."""
    counted = Counter(Conditions.of(record) for record in measured if record.device_id == device)
    named = {
        conditions: count for conditions, count in counted.items() if question.protocol in {None, conditions.protocol}
    }
    if not named:
        protocols = sorted({conditions.protocol for conditions in counted})
        message = f"Nothing was measured by the protocol {question.protocol}."
        raise UsageError(message, did_you_mean(str(question.protocol), protocols))
    return max(
        named,
        key=lambda conditions: (not conditions.emulated, named[conditions], conditions.protocol, conditions.clock),
    )


def _key(record: MeasurementRecord | ArtifactRecord, sha256: str) -> Key:
    return (record.recipe, record.model, record.variant, record.target, sha256)


def _candidate(record: MeasurementRecord | ArtifactRecord, sha256: str) -> Candidate:
    return Candidate(record.recipe, record.variant, record.model, record.target, sha256, record.manifest)


def _add_other_measurement(
    candidate: Candidate, record: MeasurementRecord, devices: Sequence[DeviceRecord], chosen: dict[str, Conditions]
) -> None:
    """Name a measurement that does not compare with the others, if its artifact has none that does."""
    device = record.device_id if record.device_id in chosen else _namesake(record, devices)
    if device in candidate.timings or any(problem.device == device for problem in candidate.problems):
        return
    own, others = Conditions.of(record), chosen[device]
    if record.device_id != device:
        id = record.device_id[:ID_DIGITS]
        reason, hint = Reason.other_device, f"To ask about that device, use --device {id}."
        message = f"measured on {record.device_name} {id}, another device or another build of its system"
    elif own.emulated:
        reason, message = Reason.emulated, "measured on an emulated device"
        hint = "An emulator's latencies are not those of a real device."
    elif own.protocol != others.protocol:
        reason, message = Reason.other_protocol, f"measured by protocol {own.protocol}, the others by {others.protocol}"
        hint = f"--protocol {own.protocol} compares those of that protocol."
    else:
        reason, message = Reason.other_clock, f"measured with clocks {own.clock}, the others with {others.clock}"
        hint = "Measure it again as the others were."
    candidate.problems.append(Problem(reason, message, hint, device))


def _namesake(record: MeasurementRecord, devices: Sequence[DeviceRecord]) -> str:
    """Return the id of the device with the name of a measurement's device, else of the first device."""
    return next((device.id for device in devices if device.name == record.device_name), devices[0].id)


def _add_failure(
    known: dict[Key, Candidate], failure: FailureRecord, devices: Sequence[DeviceRecord], question: Question
) -> None:
    """Put a failure that nothing settled to those it concerns; to one without an artifact if there are none."""
    if failure.target is not None and not _asked(question, failure.recipe, failure.target):
        return
    if question.recipes and failure.recipe not in question.recipes:
        return
    names = {device.name: device.id for device in devices} | {device.id: device.id for device in devices}
    if failure.device is not None and failure.device not in names:
        return
    device = names[failure.device] if failure.device else None
    problem = Problem(Reason.failed, failure.failure.message, failure.failure.hint, device)
    concerned = [
        candidate
        for candidate in known.values()
        if (candidate.recipe, candidate.variant) == (failure.recipe, failure.variant)
        and failure.target in {None, candidate.target}
        and (candidate.manifest is None or failure.may_be_of(candidate.manifest))
    ]
    if not concerned:
        made = Candidate(failure.recipe, failure.variant, "", failure.target or "all", None, None)
        concerned = [known.setdefault(made.key, made)]
    for candidate in concerned:
        candidate.problems.append(problem)


def _add_sessions(ledger: Ledger, candidates: Sequence[Candidate]) -> None:
    ids = [timing.id for candidate in candidates for timing in candidate.timings.values()]
    centres, memory = ledger.session_centres(ids), ledger.peak_memory(ids)
    for candidate in candidates:
        candidate.centres = {device: tuple(centres[timing.id].values()) for device, timing in candidate.timings.items()}
        peaks = [memory.get(timing.id) for timing in candidate.timings.values()]
        known = [peak for peak in peaks if peak is not None]
        candidate.memory_bytes = max(known) if known and len(known) == len(peaks) else None


def _add_problems(
    candidate: Candidate, devices: Sequence[DeviceRecord], question: Question, runs: Collection[tuple[str, str]]
) -> None:
    """Add the reasons that exclude a candidate: the question's limits first, then missing data.

    `runs` are the devices and runtimes with measurements. Other pairs may be impossible.
    """
    problems = candidate.problems
    if candidate.manifest is None:
        return
    size, memory = candidate.size_bytes, candidate.memory_bytes
    if question.weights == "trained" and candidate.manifest["weights"].startswith("random"):
        problems.append(Problem(Reason.random_weights, f"weights are {candidate.manifest['weights']}"))
    if question.max_size_bytes is not None and size is not None and size > question.max_size_bytes:
        problems.append(Problem(Reason.too_large, f"{size:,} bytes"))
    if question.max_memory_bytes is not None and candidate.timings:
        if memory is None:
            problems.append(Problem(Reason.unknown_memory, "its program did not report its memory"))
        elif memory > question.max_memory_bytes:
            problems.append(Problem(Reason.too_much_memory, f"{memory:,} bytes at the peak"))
    for device in devices:
        if any(problem.device in {None, device.id} for problem in problems):
            continue
        runtime = _runtime(candidate.target)
        if (device.id, runtime) in runs:
            problems += _problems_on(candidate, device, question)
        else:
            problems.append(
                Problem(Reason.no_runtime, f"nothing in {runtime} was measured on {device.name}", "", device.id)
            )


def _problems_on(candidate: Candidate, device: DeviceRecord, question: Question) -> list[Problem]:
    timing = candidate.timings.get(device.id)
    again = f"edgekit profile --recipe {candidate.recipe} --target {candidate.target} --device {device.name}"
    if timing is None or timing.summary is None:
        return [Problem(Reason.not_measured, f"not measured on {device.name}", again, device.id)]
    if timing.verdict is not None and timing.verdict in NEXT_STEPS:
        return [Problem(Reason.noisy, timing.evidence or timing.verdict, again, device.id)]
    sessions = len(candidate.centres[device.id])
    if sessions < MIN_SESSIONS:
        return [Problem(Reason.too_few_sessions, f"{sessions} sessions, {MIN_SESSIONS} are needed", again, device.id)]
    if question.percentile == "p90" and timing.summary["p90_upper"] is None:
        return [Problem(Reason.no_p90, "too few iterations to bound the 90th percentile", again, device.id)]
    return []
