"""Export of artifacts: a named file and a description of how an app uses it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit import __version__
from edgekit.backends.base import Artifact, Manifest, TensorSpec, backend_of
from edgekit.cache.store import content_sha256, in_use
from edgekit.config.json_document import JsonDocument
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.evaluation.class_names import classes_of
from edgekit.ledger import Ledger
from edgekit.pipeline import Plan, Progress, Sweep, build_artifact
from edgekit.recipe.schema import Preprocessing, Recipe
from edgekit.report.output import write_whole
from edgekit.target import Target

SUFFIX = ".json"
"""Of the description, after the artifact's whole name: ``v2.tflite`` has ``v2.tflite.json``."""


class ExportDocument(JsonDocument):
    """The description of an exported artifact: how an app uses it, and where it came from.

    An input is RGB, resized to `input_height` x `input_width` as `preprocessing` says, then ``(pixel / 255 - mean) / std``.
    A network whose inputs are not photos has none of these three.
    `labels` name the classes in the order of the outputs; None if nothing names them. `sha256` is that of the file.
    """

    file: str
    format: str
    sha256: str
    size_bytes: int
    recipe: str
    variant: str
    architecture: str
    task: str | None
    target: str
    weights: str
    weights_sha256: str | None
    trained: bool
    input_height: int | None
    input_width: int | None
    channels: Literal["RGB"] = "RGB"
    preprocessing: Preprocessing | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] | None
    labels_are: str | None
    parity: dict[str, Any]
    calibration: dict[str, Any]
    build_key: str
    recipe_hash: str
    tools: dict[str, str]
    edgekit_version: str


@dataclass(frozen=True)
class Exported:
    """An artifact at its place and the description beside it."""

    path: Path
    description: Path
    document: ExportDocument


def export(plan: Plan, output: Path | None, progress: Progress) -> Exported:
    """Build the plan's target, or find it in the cache, and copy it to `output`.

    None means the current folder.
    UsageError if `output` is a folder that is not an artifact, or has the wrong extension.
    EdgekitError if it cannot be built, or differs from PyTorch.
    """
    (target,) = plan.targets
    if output:
        _check_name(output, backend_of(target).format, target)
    with in_use():
        _, artifact = build_artifact(plan, progress, cache_folder() / "logs" / "export")
        manifest = artifact.manifest
        return place(artifact, plan.recipe, output or Path(file_name(manifest)))


def export_run(ledger: Ledger, run_id: str, folder: Path) -> list[Exported]:
    """Copy the artifacts of a run into `folder`. Artifacts that differ from PyTorch are left out."""
    (plan,) = (run.plan for run in ledger.runs() if run.id == run_id)
    recipes = {planned.recipe.hash: planned.recipe for planned in Sweep.read(plan).plans}
    wrong = {failure.artifact_sha256 for failure in ledger.failures(run_id, latest=True)}
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.", "Choose another one with --output.")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for record in ledger.artifacts(run_id):
        if record.sha256 not in wrong:
            manifest = Manifest.model_validate(record.manifest)
            artifact = Artifact(cache_folder() / "artifacts" / manifest.build_key, manifest)
            found.append(place(artifact, recipes[record.recipe_hash], folder / file_name(manifest)))
    return found


def file_name(manifest: Manifest) -> str:
    """Return a name that is unique among a recipe's artifacts: ``v2_1.0_224_tflite_xnnpack_int8.tflite``."""
    parts = "_".join([manifest.recipe, manifest.variant, manifest.target]).replace("/", "_").replace("=", "_")
    return f"{parts}.{manifest.format}".replace("_-_", "_")


def place(artifact: Artifact, recipe: Recipe, output: Path) -> Exported:
    """Copy an artifact to `output` and write its description beside it. An existing file is replaced.

    UsageError as :func:`export` says; EdgekitError (``hash_mismatch``) if the cache holds other bytes than were verified.
    """
    manifest = artifact.manifest
    _check_name(output, manifest.format, artifact.target)
    is_folder = artifact.path.is_dir()
    if output.exists() and output.is_dir() != is_folder:
        what = "a folder" if output.is_dir() else "a file"
        raise UsageError(f"{output} is {what}. An artifact of {artifact.target} is not.", "Choose another name.")
    if not artifact.path.exists():
        message = f"The cache no longer holds {manifest.recipe} {manifest.target}."
        raise EdgekitError(FailureKind.hash_mismatch, "export", message, "Run the command again to build it.")
    description = output.with_name(output.name + SUFFIX)
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if is_folder else shutil.copyfile)(artifact.path, beside)
        if content_sha256(beside) != manifest.sha256:
            message = f"The cache does not hold the bytes of {manifest.recipe} {manifest.target} that were verified."
            raise EdgekitError(FailureKind.hash_mismatch, "export", message, "Build again: edgekit cache clean")
        document = describe(manifest, recipe, output.name)
        if is_folder and output.exists():
            shutil.rmtree(output)
        beside.replace(output)
        write_whole(description, document.model_dump_json(by_alias=True, indent=2) + "\n")
    except OSError as error:
        reason = error.strerror or error  # copytree lists what failed, without its own reason
        raise UsageError(f"{output} cannot be written: {reason}.", "Choose another place.") from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)
    return Exported(output, description, document)


def _check_name(output: Path, format: str, target: Target) -> None:
    if output.suffix != f".{format}":
        is_folder = output.is_dir() or not output.name
        file = output / f"NAME.{format}" if is_folder else output.with_suffix(f".{format}")
        hint = f"Write {file}."
        raise UsageError(f"The name {output} does not end in .{format}, as an artifact of {target} does.", hint)


def describe(manifest: Manifest, recipe: Recipe, file: str) -> ExportDocument:
    """Return what an app has to know of an artifact."""
    classes = classes_of(recipe)
    height, width = recipe.photos[1] if recipe.preprocessing else (None, None)
    same = {name: getattr(manifest, name) for name in ExportDocument.model_fields if name in Manifest.model_fields}
    return ExportDocument.model_validate(
        {
            **same,
            "file": file,
            "task": recipe.task,
            "input_height": height,
            "input_width": width,
            "preprocessing": recipe.preprocessing,
            "labels": classes.names if classes else None,
            "labels_are": classes.whose if classes else None,
            "parity": manifest.parity.model_dump(),
            "edgekit_version": __version__,
        }
    )


def lines(exported: Sequence[Exported]) -> list[str]:
    """Return a line for each exported artifact."""
    return [f"{file.path}: {file.document.size_bytes:,} bytes; {file.description.name} beside it" for file in exported]
