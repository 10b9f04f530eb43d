"""The jobs that building does in processes of their own: what each gets, and the function that does it. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from edgekit.backends.base import TensorSpec
from edgekit.build.worker import Job
from edgekit.errors import FailureKind
from edgekit.recipe.schema import Recipe


class DescribeJob(Job):
    """Run the network of a user's `source` once. `inputs` are name -> shape; `name` is the recipe's."""

    function = "edgekit.build.own_recipe:ask"
    stage = "model"

    source: str
    inputs: dict[str, list[int]]
    name: str


class PrepareJob(Job):
    """Build, check and fill a recipe's model, and write it to `folder`; the fields are those of a resolved recipe."""

    function = "edgekit.build.prepare:prepare"
    stage = "model"

    recipe: Recipe
    checkpoint: Path | None
    seed: int | None
    trained: bool
    photos: tuple[Path, ...]
    own_photos: bool
    folder: Path


class OnPrepared(Job):
    """A job on a model that :class:`PrepareJob` wrote to the folder `prepared`."""

    recipe: Recipe
    prepared: Path


class CompileJob(OnPrepared):
    """Compile the model for `target` into `folder`, and compare the result with PyTorch."""

    function = "edgekit.build.compile:compile_target"
    stage = "compile"
    failure_kind = FailureKind.compilation

    target: str
    trained: bool
    folder: Path


class CompareLayersJob(OnPrepared):
    """Compare each layer of an `artifact` for `target` with PyTorch."""

    function = "edgekit.build.compile:compare_layers_of"
    stage = "parity"

    target: str
    artifact: Path


class GraphNode(BaseModel):
    """An operator of a graph, and the name of the PyTorch module that it comes from: empty for the network, None: unknown."""

    operator: str
    module: str | None


class GraphNodesJob(OnPrepared):
    """List the operators of an `artifact` in order of execution, with their modules: a list of :class:`GraphNode`."""

    function = "edgekit.build.graph_nodes:graph_nodes"
    stage = "operators"

    artifact: Path


class ScanJob(OnPrepared):
    """Measure how sensitive each layer of the model is to int8."""

    function = "edgekit.build.sensitivity:scan"
    stage = "scan"


class CompiledArtifact(BaseModel):
    """The file of an artifact for `target`, and the specs of its outputs."""

    path: Path
    target: str
    outputs: tuple[TensorSpec, ...]


class PredictJob(OnPrepared):
    """Run the images of the file `input` through an artifact, or PyTorch if it is None; write the outputs to `output`."""

    function = "edgekit.build.compile:predict"
    stage = "classify"

    artifact: CompiledArtifact | None
    input: Path
    output: Path
