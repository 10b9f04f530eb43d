"""Find the layers that have to stay in float so that an int8 artifact keeps its accuracy (``edgekit quantize``).

A scan orders the layers by how much int8 costs each. Then artifacts with the k most sensitive layers in float are
built and judged, for k = 0, 1, 2, 4, ... The first one that loses at most `max_drop` is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.backends.base import Artifact, ParityResult
from edgekit.build.compile import Built
from edgekit.build.jobs import ScanJob
from edgekit.build.photos import PhotoSet
from edgekit.build.prepare import Prepared
from edgekit.build.worker import Workers
from edgekit.cache.store import in_use, temporary_folder
from edgekit.config.json_document import JsonDocument
from edgekit.config.paths import cache_folder
from edgekit.devices.base import opened
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.evaluation.datasets import Dataset
from edgekit.evaluation.evaluate import Request as EvaluationRequest
from edgekit.evaluation.evaluate import evaluate, fitting_scorer
from edgekit.evaluation.metrics import Estimate
from edgekit.ledger import Ledger
from edgekit.measure.session import Interleaved, Session
from edgekit.pipeline import Plan, Progress, build_artifacts
from edgekit.pipeline.building import Ready, prepare_model
from edgekit.pipeline.measuring import Timing, push
from edgekit.pipeline.recording import summarise_sessions
from edgekit.pipeline.turns import compiling, timing
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.schema import Quantization, Recipe
from edgekit.target import Target
from edgekit.weights.checkpoints import resolve

PROTOCOL = PROTOCOLS["quick"]
"""How the artifacts are timed on this machine."""
SCAN_SECONDS = 6 * 3600
"""A scan that takes longer is stopped. It runs the model once for each layer."""
AGREEMENT = "agreement"
"""The judge of an artifact if there are no labelled photos."""


@dataclass(frozen=True)
class Request:
    """What is asked: the int8 `target` of a recipe may lose at most `max_drop` percent (or points).

    `photos` are those of the build. `dataset` judges accuracy, `available` counts all its photos. Without a data set
    the clear decisions on the parity images judge. `jobs` processes evaluate.
    """

    recipe: Recipe
    target: str
    max_drop: float
    photos: PhotoSet
    jobs: int
    dataset: Dataset | None = None
    available: int = 0

    def with_layers(self, names: list[str]) -> Recipe:
        """Return the recipe with these layers in float."""
        return self.recipe.model_copy(update={"quantization": Quantization(float_layers=tuple(names))})

    def evaluation(self, recipe: Recipe) -> EvaluationRequest:
        """Return the evaluation of the target of `recipe` against PyTorch."""
        assert self.dataset
        return EvaluationRequest(
            recipe=recipe,
            target=self.target,
            dataset=self.dataset,
            available=self.available,
            seed=0,
            jobs=self.jobs,
            photos=self.photos,
        )


class Part(BaseModel):
    """A part of the document. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class LayerEntry(Part):
    """A layer of the scan: signal-to-noise ratio of the outputs in dB if only this layer is in int8."""

    name: str
    snr_db: float


class CurveEntry(Part):
    """An artifact with the `float_layers` most sensitive layers in float.

    `quality` is its agreement or accuracy in percent, `drop` the loss against PyTorch, both with 95 % intervals.
    They are None if it differs too much from PyTorch to be evaluated: then `within_parity` is false. `latency_ms` is
    the median on this machine, and `latency_range_ms` the range of the sessions; None if timing failed.
    """

    float_layers: int
    artifact_sha256: str
    size_bytes: int
    latency_ms: float | None = None
    latency_range_ms: tuple[float, float] | None = None
    snr_db: float
    within_parity: bool
    quality: Estimate | None
    drop: Estimate | None
    kept: bool


class QuantizeDocument(JsonDocument):
    """What ``edgekit quantize --json`` prints.

    `judged_by` is ``agreement`` (on `judged` clear decisions) or the metric of the data set (on `judged` photos).
    `layers` are the most sensitive first. `chosen` are the layers to keep in float, None if no artifact kept
    `max_drop`. `written` is the recipe file that was written.
    """

    recipe: str
    variant: str
    target: str
    max_drop: float
    judged_by: str
    judged: int
    protocol: Literal["quick"] = "quick"
    layers: list[LayerEntry]
    curve: list[CurveEntry]
    chosen: list[str] | None
    written: str | None = None


@dataclass
class _Step:
    """An artifact of the curve and what is known of it."""

    plan: Plan
    prepared: Prepared
    artifact: Artifact
    entry: CurveEntry
    judged: int


def quantize(request: Request, ledger: Ledger, progress: Progress) -> QuantizeDocument:
    """Scan the layers, build and judge the artifacts of the curve, time them on this machine, and choose.

    UsageError for a target that is not int8, and for random weights. EdgekitError if a build or an evaluation fails.
    """
    _check(request)
    if request.recipe.quantization.float_layers:
        progress("The search ignores the float_layers that the recipe has, and starts without any.")
    logs = cache_folder() / "logs" / "quantize"
    with in_use():
        layers = _scan(request, progress, logs)
        steps = list(_curve(request, layers, ledger, progress, logs))
        _time(steps, progress)
    last = steps[-1].entry
    names = [layer.name for layer in layers]
    return QuantizeDocument(
        recipe=request.recipe.name,
        variant=request.recipe.model.variant,
        target=request.target,
        max_drop=request.max_drop,
        judged_by=_judged_by(request),
        judged=max(step.judged for step in steps),
        layers=layers,
        curve=[step.entry for step in steps],
        chosen=names[: last.float_layers] if last.kept else None,
    )


def _check(request: Request) -> None:
    target = Target.parse(request.target)
    if target.precision != "int8":
        message = f"{request.target} has no layers in int8, so none can be kept in float."
        raise UsageError(message, "Name an int8 target, for example --target tflite/xnnpack/int8.")
    if request.dataset:
        fitting_scorer(request.evaluation(request.recipe))  # an unfit data set is an error before the scan
    if not resolve(request.recipe.weights).trained:
        message = f"{request.recipe.name} has random weights: its accuracy means nothing."
        raise UsageError(message, "Name a recipe with a checkpoint.")


def _judged_by(request: Request) -> str:
    return fitting_scorer(request.evaluation(request.recipe)).metric if request.dataset else AGREEMENT


def _scan(request: Request, progress: Progress, logs: Path) -> list[LayerEntry]:
    plan = Plan.of(request.with_layers([]), [request.target], request.photos)
    _, prepared = prepare_model(plan, progress, logs)
    job = ScanJob(recipe=plan.recipe, prepared=prepared.folder)
    progress(f"{plan.recipe.name}: scan of the layers")
    with compiling(progress), Workers() as workers:
        modules = ("torch", "edgekit.build.sensitivity")
        found = workers.call(job, logs / "scan.log", SCAN_SECONDS, modules)
    return [LayerEntry.model_validate(layer) for layer in found]


def counts(layers: int) -> Iterator[int]:
    """Yield how many layers are tried in float: 0, 1, 2, 4, ... and at last all."""
    yield 0
    count = 1
    while count < layers:
        yield count
        count *= 2
    yield layers


def _curve(
    request: Request, layers: list[LayerEntry], ledger: Ledger, progress: Progress, logs: Path
) -> Iterator[_Step]:
    """Yield the artifacts up to the first that keeps `max_drop`."""
    for count in counts(len(layers)):
        recipe = request.with_layers([layer.name for layer in layers[:count]])
        plan = Plan.of(recipe, [request.target], request.photos)
        progress(f"{recipe.name} {request.target}: {count} layers in float")
        prepared, (built,) = build_artifacts(plan, progress, logs)
        step = _judge(request, _Built(count, plan, prepared, built), ledger, progress)
        yield step
        if step.entry.kept:
            return


@dataclass(frozen=True)
class _Built:
    count: int
    plan: Plan
    prepared: Prepared
    built: Built


def _judge(request: Request, made: _Built, ledger: Ledger, progress: Progress) -> _Step:
    """Judge an artifact. An artifact outside parity is not a candidate and is not evaluated."""
    artifact, failure = made.built.artifact, made.built.failure
    if artifact is None:
        assert failure
        raise EdgekitError(**vars(failure))
    manifest = artifact.manifest
    if request.dataset is None:
        quality, drop, judged = _by_agreement(manifest.parity)
    elif failure is None:
        quality, drop, judged = _by_accuracy(request.evaluation(made.plan.recipe), ledger, progress)
    else:
        quality, drop, judged = None, None, 0
    entry = CurveEntry(
        float_layers=made.count,
        artifact_sha256=manifest.sha256,
        size_bytes=manifest.size_bytes,
        snr_db=manifest.parity.snr_db,
        within_parity=failure is None,
        quality=quality,
        drop=drop,
        kept=failure is None and drop is not None and drop.value <= request.max_drop,
    )
    return _Step(made.plan, made.prepared, artifact, entry, judged)


def _by_agreement(parity: ParityResult) -> tuple[Estimate, Estimate, int]:
    """Return the agreement on clear decisions, the disagreement and the number of decisions; EdgekitError without any."""
    if parity.clear_agreement is None or parity.agreement_interval is None:
        message = "PyTorch decides clearly on none of the parity images, so agreement says nothing."
        raise EdgekitError(FailureKind.parity, "quantize", message, "Judge by labelled photos: --data DIR.")
    value, (low, high) = 100 * parity.clear_agreement, (100 * end for end in parity.agreement_interval)
    quality = Estimate(value=value, interval=(low, high))
    return quality, Estimate(value=100 - value, interval=(100 - high, 100 - low)), parity.clear_decisions


def _by_accuracy(evaluation: EvaluationRequest, ledger: Ledger, progress: Progress) -> tuple[Estimate, Estimate, int]:
    """Return the accuracy in the chief metric, what was lost against PyTorch, and the number of photos."""
    result = evaluate(evaluation, ledger, progress).results[0]
    assert result.comparison
    if result.failed:
        progress(f"warning: {len(result.failed)} photos could not be read and do not count")
    difference = result.comparison.difference
    interval = (-difference.interval[1], -difference.interval[0]) if difference.interval else None
    return result.metrics[result.metric], Estimate(value=0.0 - difference.value, interval=interval), result.n


class _Sessions:
    """The sessions of artifacts that take turns. A failure is reported and leaves a gap."""

    def __init__(self, steps: list[_Step], progress: Progress) -> None:
        self.steps, self.progress = steps, progress
        self.sessions: dict[int, list[Session]] = {index: [] for index in range(len(steps))}
        self.failed: set[int] = set()

    def check(self, index: int) -> None:
        """Do nothing: the artifact was compared when it was built, by this runner on this machine."""

    def on_session(self, index: int, block: int, session: Session) -> None:
        """Keep a session."""
        self.sessions[index].append(session)

    def on_failure(self, index: int, failure: Failure) -> None:
        """Report a failure."""
        self.failed.add(index)
        self.progress(failure.line(f"{self.steps[index].entry.float_layers} layers in float"))


def _time(steps: list[_Step], progress: Progress) -> None:
    """Time all artifacts on this machine in turns, and note their latencies. A failure is reported and leaves a gap."""
    heard = _Sessions(steps, progress)
    progress(f"timing {len(steps)} artifacts on this machine, protocol {PROTOCOL.name}")
    with opened(load_profile("host")) as device, timing(device, progress), temporary_folder() as folder:
        device.prepare()
        subjects = {}
        for index, step in enumerate(steps):
            ready = Ready(0, step.artifact, step.plan, step.prepared)
            subjects[index] = push(device, Timing(ready, str(step.artifact.target), None), Path(folder))
        Interleaved(device, subjects, PROTOCOL, 0, heard).run()
    for index, step in enumerate(steps):
        if index not in heard.failed:
            summary = summarise_sessions(heard.sessions[index], PROTOCOL)
            step.entry.latency_ms = summary.median
            step.entry.latency_range_ms = (summary.interval.low, summary.interval.high)
