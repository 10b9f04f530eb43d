"""From a prepared model to verified artifacts in the cache. :func:`compile_target` runs in a separate process."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Artifact, Manifest, backend_of, by_name, parity_kind
from edgekit.build.conversion_errors import explained
from edgekit.build.jobs import CompareLayersJob, CompileJob, PredictJob
from edgekit.build.layer_parity import LayerParity, compare_layers, first_departure
from edgekit.build.parity import MAX_FLOAT, compare, exceeded, explain
from edgekit.build.prepare import Prepared, load_prepared, source_hash
from edgekit.build.worker import Workers
from edgekit.cache.store import cached_folder, content_sha256, content_size
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError, Failure, FailureKind, failure_of
from edgekit.recipe.schema import Recipe
from edgekit.target import Target
from edgekit.weights.checkpoints import Resolved


@dataclass(frozen=True)
class Built:
    """The result of a target: an artifact, a failure, or (outside parity) both. `cached`: it was in the cache."""

    target: Target
    artifact: Artifact | None
    failure: Failure | None
    cached: bool = False


def build_key(recipe: Recipe, prepared: Prepared, target: Target, tools: dict[str, str]) -> str:
    """Return what identifies a build: recipe, model with weights and photos, target, tools and edgekit's sources."""
    sources = source_hash("architectures", "weights", "build", "backends", "runners")
    parts = [recipe.build_hash, prepared.key, str(target), json.dumps(tools, sort_keys=True), sources]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tool_versions(target: Target) -> dict[str, str]:
    """Return the versions of the packages that compile `target`; EdgekitError (``missing_extra``) names a missing one."""
    versions = {}
    backend = backend_of(target)
    extra = getattr(backend, "extra", "convert")
    for distribution in backend.distributions:
        try:
            versions[distribution] = version(distribution)
        except PackageNotFoundError as error:
            message = f"Compiling {target} needs the package {distribution}, which is not installed."
            raise EdgekitError(
                FailureKind.missing_extra, "compile", message, f"pip install 'edgekit[{extra}]'"
            ) from error
    return versions


def build_target(
    recipe: Recipe, resolved: Resolved, prepared: Prepared, target: Target, logs: Path, workers: Workers
) -> Built:
    """Compile and verify one target, or find it in the cache. A failure is returned, not raised."""
    try:
        tools = tool_versions(target)
        key = build_key(recipe, prepared, target, tools)

        def make(folder: Path) -> None:
            log = logs / f"{str(target).replace('/', '-')}.log"
            modules = (*backend_of(target).modules, "edgekit.build.compile")
            job = CompileJob(
                recipe=recipe, prepared=prepared.folder, target=str(target), trained=resolved.trained, folder=folder
            )
            facts = workers.call(job, log, modules=modules)
            (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

        folder, cached = cached_folder(cache_folder() / "artifacts", key, make)
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        manifest = Manifest(
            recipe=recipe.name,
            recipe_hash=recipe.hash,
            architecture=recipe.network,
            variant=recipe.model.variant,
            model=recipe.shown_model(),
            target=str(target),
            build_key=key,
            weights=resolved.label,
            weights_sha256=resolved.checkpoint.sha256 if resolved.checkpoint else None,
            trained=resolved.trained,
            warnings=(*((resolved.warning,) if resolved.warning else ()), *prepared.warnings),
            **prepared.model_dump(include={"parameters", "multiply_adds", "contract", "calibration"}),
            calibration_sha256=prepared.photos_sha256,
            float_layers=recipe.quantization.float_layers if target.precision == "int8" else (),
            tools=tools,
            published=recipe.published.model_dump() if recipe.published else None,
            **facts,
        )
    except Exception as error:  # noqa: BLE001  (if one target fails, the others are still built)
        return Built(target, None, failure_of(error, "compile"))
    return _judge(Built(target, Artifact(folder, manifest), None, cached))


def build_targets(
    recipe: Recipe, resolved: Resolved, prepared: Prepared, targets: Sequence[Target], logs: Path, jobs: int
) -> Iterator[Built]:
    """Build all targets, at most `jobs` at a time, and yield each as it is done. An interrupt stops running builds."""
    with Workers(jobs) as workers, ThreadPoolExecutor(jobs) as pool:
        started = [pool.submit(build_target, recipe, resolved, prepared, target, logs, workers) for target in targets]
        try:
            for done in as_completed(started):
                yield done.result()
        finally:  # the pool waits for its threads, and the threads for their workers: stop both in any case
            pool.shutdown(wait=False, cancel_futures=True)
            workers.kill()


def _judge(built: Built) -> Built:
    assert built.artifact
    parity = built.artifact.manifest.parity
    if parity.passed:
        return built
    wrong = "; ".join(exceeded(parity)) or explain(parity)
    message = f"{built.target} does not compute what PyTorch computes: {wrong}."
    hint = "Set the limits under `parity` in the recipe only if you know why it differs."
    if parity.max_absolute == MAX_FLOAT:
        hint = "Its outputs are not finite, or PyTorch's are all zero: look at the weights (`edgekit classify` runs PyTorch)."
    elif built.target.precision == "int8":
        hint += " More calibration photos: --photos DIR."
    if parity.first_departure:
        hint = f"The first layer that departs is {parity.first_departure} (edgekit parity --layers shows all). {hint}"
    return replace(built, failure=Failure(FailureKind.parity, "parity", message, hint))


def compile_target(job: CompileJob) -> dict[str, Any]:
    """Compile and execute one target of a prepared model; returns the manifest's build facts."""
    recipe, target, prepared, folder = job.recipe, Target.parse(job.target), job.prepared, job.folder
    backend = backend_of(target)
    output = folder / f"model.{backend.format}"
    calibration = Inputs.load(prepared / "calibration.npz")
    start = time.monotonic()
    model = load_prepared(recipe, prepared)
    try:
        compiled = backend.compile(model, target, calibration, output)
    except (EdgekitError, ImportError, OSError):
        raise
    except Exception as error:
        traceback.print_exc()  # into the log
        raise explained(model, calibration, target, error) from error
    seconds = time.monotonic() - start
    inputs = Inputs.load(prepared / "parity.npz")
    outputs = by_name(compiled.outputs, backend.execute(output, inputs))
    with np.load(prepared / "reference.npz") as saved:
        reference = dict(saved)
    shows_layers = target.precision == "int8" and job.trained and getattr(backend, "layers_of", "") == "artifact"
    layers, problem = _layers(model, target, calibration, output, inputs) if shows_layers else ([], None)
    parity = compare(
        reference,
        outputs,
        target.precision,
        recipe.parity,
        kind=parity_kind(target),
        trained=job.trained,
        layer_db=min((layer.alone for layer in layers), default=None),
    )
    parity.layers_unknown = problem
    if not parity.passed:
        layers = layers or _layers(model, target, calibration, output, inputs)[0]
        first = first_departure(layers, target.precision)
        parity.first_departure = first.name if first else None
    return {
        "format": backend.format,
        "file": output.name,
        "sha256": content_sha256(output),
        "size_bytes": content_size(output),
        "compile_seconds": round(seconds, 2),
        "parity": parity.model_dump(),
        **compiled.model_dump(mode="json"),
    }


def compare_layers_of(job: CompareLayersJob) -> list[dict[str, Any]]:
    """Return how far each layer of an artifact is from PyTorch, in the order in which they run."""
    calibration, inputs = (Inputs.load(job.prepared / f"{name}.npz") for name in ("calibration", "parity"))
    model, target = load_prepared(job.recipe, job.prepared), Target.parse(job.target)
    return [vars(layer) for layer in compare_layers(model, target, calibration, job.artifact, inputs)]


def _layers(
    model: Any, target: Target, calibration: Inputs, artifact: Path, inputs: Inputs
) -> tuple[list[LayerParity], str | None]:
    """Return the layers of an artifact beside PyTorch's. If they cannot be compared: none, and the reason."""
    try:
        return compare_layers(model, target, calibration, artifact, inputs), None
    except EdgekitError as error:
        return [], error.failure.message


def predict(job: PredictJob) -> None:
    """Run images through an artifact, or PyTorch. The outputs go by name, in the model's layout, into an ``.npz`` file."""
    from edgekit.architectures.outputs import named_outputs

    images = Inputs.of_images(np.load(job.input))
    outputs: dict[str, Any]
    if artifact := job.artifact:
        outputs = by_name(artifact.outputs, backend_of(Target.parse(artifact.target)).execute(artifact.path, images))
    else:
        model = load_prepared(job.recipe, job.prepared)
        outputs = {name: output.numpy() for name, output in named_outputs(model, *images.tensors()).items()}
    np.savez(job.output, **outputs)
