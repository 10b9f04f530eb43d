"""The jobs of an evaluation, each for one shard of photos in a process of its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from edgekit.build.jobs import CompiledArtifact
from edgekit.build.worker import Job
from edgekit.recipe.schema import Recipe


class ArtifactOnHost(CompiledArtifact):
    """An artifact that runs in its runtime on this machine; `layout` is that of its input."""

    layout: str


class PreparedModel(BaseModel):
    """A recipe's model in PyTorch, prepared in `folder`."""

    folder: Path


class ShardJob(Job):
    """Run `photos` through the `subject`; `labels` are the labels of the photos, or the files of their masks."""

    function = "edgekit.evaluation.shards:run_shard"
    stage = "evaluate"

    recipe: Recipe
    subject: ArtifactOnHost | PreparedModel
    photos: tuple[Path, ...]
    labels: tuple[str, ...]


class InputsJob(Job):
    """Write `photos`, preprocessed and in the artifact's `layout`, to `file` as a runner takes them."""

    function = "edgekit.evaluation.shards:write_inputs"
    stage = "evaluate"

    recipe: Recipe
    layout: str
    photos: tuple[Path, ...]
    file: Path
