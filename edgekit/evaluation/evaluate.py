"""The accuracy of an artifact on labelled photos, compared with PyTorch or with another artifact, and recorded."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.build.photos import PhotoSet
from edgekit.build.prepare import Prepared
from edgekit.devices.base import opened
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, UsageError
from edgekit.evaluation.class_names import outputs_of
from edgekit.evaluation.coco import truths_of
from edgekit.evaluation.datasets import Dataset, example_hashes, subset_hash
from edgekit.evaluation.document import DataEntry, EvaluateDocument, result_entry
from edgekit.evaluation.masks import check_masks
from edgekit.evaluation.on_device import run_on_device
from edgekit.evaluation.running import Subject, Task, artifact_subject, pytorch_subject, run_on_host
from edgekit.evaluation.scoring import Answers, Scorer
from edgekit.ledger import Ledger
from edgekit.ledger.records import AccuracyRecord
from edgekit.pipeline import Plan, Progress
from edgekit.pipeline.building import Ready, build
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run, begun
from edgekit.recipe.schema import Recipe

PYTORCH, NOTHING = "pytorch", "none"
"""What `against` may be beside a target."""


@dataclass(frozen=True)
class Request:
    """What is asked: one target of a recipe, on a data set, `against` a baseline, on a device or if None on this machine.

    `photos` are those of the build, for calibration and parity. The data set is already the subset; `available` counts all of it.
    """

    recipe: Recipe
    target: str
    dataset: Dataset
    available: int
    seed: int
    jobs: int
    photos: PhotoSet
    against: str = PYTORCH
    device: DeviceProfile | None = None

    @property
    def plan(self) -> Plan:
        """What has to be built."""
        others = [] if self.against in {PYTORCH, NOTHING} else [self.against]
        return Plan.of(self.recipe, [self.target, *others], self.photos)


def evaluate(request: Request, ledger: Ledger, progress: Progress) -> EvaluateDocument:
    """Build what is asked, run it on the photos, and record and return how accurate it is.

    UsageError for a data set that does not fit the model. EdgekitError if a build, a process or the device fails.
    A photo that cannot be read is named in the result and does not count.
    """
    scorer = fitting_scorer(request)
    if request.device:
        with opened(request.device):
            pass  # a device that cannot be reached is an error before anything is compiled
    plan, dataset = request.plan, request.dataset
    asked = {"data": str(dataset.source.absolute()), "format": dataset.format, "photos": len(dataset.examples)}
    failed: EdgekitError | None = None
    with begun(
        ledger, "evaluate", {"evaluate": {**asked, "target": request.target}}, {}, request.seed, progress
    ) as run:
        try:
            ready = _built(run, plan)
            subset, records = _records(run, request, scorer, ready)
        except EdgekitError as error:
            failed = error
            if error.failure not in [failure.failure for failure in ledger.failures(run.id)]:
                run.fail(error.failure, plan, request.target, request.device.name if request.device else None)
    if failed:  # a failure of this cell, and not of the run itself
        raise failed
    data = DataEntry(
        name=dataset.name,
        format=dataset.format,
        source=str(dataset.source),
        available=request.available,
        photos=len(dataset.examples),
        seed=request.seed,
        subset_sha256=subset,
    )
    return EvaluateDocument(
        run=run.id,
        recipe=request.recipe.name,
        variant=request.recipe.model.variant,
        task=dataset.task,
        data=data,
        complete=not any(record.failed for record in records),
        results=[result_entry(record) for record in records],
    )


def _built(run: Run, plan: Plan) -> dict[str, Ready]:
    """Return target -> artifact; EdgekitError if one cannot be had."""
    ready = {str(built.artifact.target): built for built in build(run, plan, Remaining(len(plan.targets)))}
    if missing := {str(target) for target in plan.targets} - ready.keys():
        failures = [failure for failure in run.ledger.failures(run.id) if failure.target in {None, *missing}]
        raise EdgekitError(**vars(failures[0].failure))
    return ready


def _records(
    run: Run, request: Request, scorer: Scorer, ready: Mapping[str, Ready]
) -> tuple[str, list[AccuracyRecord]]:
    """Judge, record what comes of it, and return it with the hash of the photos and labels."""
    dataset = request.dataset
    truths = truths_of(dataset) if dataset.format == "coco" else [example.label for example in dataset.examples]
    hashes = example_hashes(dataset, truths, request.jobs)
    subset = subset_hash(dataset, hashes)
    records = _judge(run, request, Task(request.recipe, dataset, hashes, request.jobs), subset, scorer, ready)
    for record in records:
        run.ledger.record_accuracy(run.id, record)
    return subset, records


def fitting_scorer(request: Request) -> Scorer:
    """Return what scores answers; UsageError if the data set is for another task, or has other classes than the model."""
    recipe, dataset = request.recipe, request.dataset
    if request.against == request.target and request.device is None:
        raise UsageError(f"{request.target} is compared with itself.", "Name another target: --against T, or pytorch.")
    if request.device and not request.device.times(request.plan.targets[0]):
        why = request.device.why_not(request.plan.targets[0])
        message = f"{request.device.name} does not run {request.target}; {why}."
        raise UsageError(message, "Name another device or target.")
    task = recipe.task
    if task is None:
        message = f"{recipe.name} does not say what its network is made for."
        raise UsageError(message, "Write `task: classification` (or segmentation) under `model`.")
    preprocessing, _ = recipe.photos
    if task != dataset.task:
        message = f"{recipe.name} is made for {task}, and {dataset.name}, read as {dataset.format}, for {dataset.task}."
        raise UsageError(message, "Use another data set, or another --format.")
    if task != "classification" and preprocessing.fit != "stretch":
        message = f"{recipe.name} crops its photos, so its outputs do not cover what the labels cover."
        raise UsageError(message, "Write `fit: stretch` under `preprocessing`.")
    if dataset.format == "masks":
        check_masks(dataset, recipe, request.jobs)
    outputs = outputs_of(dataset.classes, recipe)
    if dataset.format == "coco" and len(set(outputs.values())) < len(outputs):
        message = f"Several categories of {dataset.name} are the same class of {recipe.name}."
        raise UsageError(message, f"Rename them: {', '.join(sorted(outputs))}.")
    return Scorer(dataset, outputs, recipe.classes, request.seed)


def _judge(
    run: Run, request: Request, task: Task, subset: str, scorer: Scorer, ready: Mapping[str, Ready]
) -> list[AccuracyRecord]:
    """Return the record of the target, compared with the baseline's, and that of the baseline if there is one."""
    own = ready[request.target]
    mine, identity = _answers(run, request, task, own)
    if request.against == NOTHING:
        return [_record(request, task, subset, scorer, artifact_subject(own.artifact), mine, identity)]
    baseline = _baseline(request.against, ready, own.prepared)
    theirs = Answers.of(run_on_host(task, baseline, run.progress, run.logs))
    comparison = scorer.compare(mine, theirs, request.against, baseline.sha256)
    this = _record(
        request, task, subset, scorer, artifact_subject(own.artifact), mine, identity, comparison.model_dump()
    )
    return [this, _record(request, task, subset, scorer, baseline, theirs, None)]


def _answers(run: Run, request: Request, task: Task, ready: Ready) -> tuple[Answers, str | None]:
    """Return the target's answers, and the identity of the device that gave them, None for this machine."""
    if request.device is None:
        return Answers.of(run_on_host(task, artifact_subject(ready.artifact), run.progress, run.logs)), None
    shards, identity = run_on_device(task, ready.artifact, request.device, run.progress, run.logs)
    return Answers.of(shards), identity


def _baseline(against: str, ready: Mapping[str, Ready], prepared: Prepared) -> Subject:
    return pytorch_subject(prepared) if against == PYTORCH else artifact_subject(ready[against].artifact)


def _record(
    request: Request,
    task: Task,
    subset: str,
    scorer: Scorer,
    subject: Subject,
    answers: Answers,
    device_id: str | None,
    comparison: dict[str, object] | None = None,
) -> AccuracyRecord:
    metrics = scorer.metrics(answers)
    photos = task.dataset.examples
    return AccuracyRecord(
        artifact_sha256=subject.sha256,
        subset_sha256=subset,
        recipe=request.recipe.name,
        variant=request.recipe.model.variant,
        target=subject.target,
        data_set=task.dataset.name,
        data_format=task.dataset.format,
        photos=len(photos),
        n=len(photos) - len(answers.failed),
        metric=scorer.metric,
        metrics={name: estimate.model_dump(mode="json") for name, estimate in metrics.items()},
        comparison=comparison,
        failed={str(photos[index].photo): message for index, message in answers.failed.items()},
        kind="measured" if device_id else subject.kind,
        device=request.device.name if device_id and request.device else None,
        device_id=device_id,
        host=platform.node(),
    )
