"""An artifact on this machine, ready to be timed as `edgekit deploy` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.build.photos import photo_set
from edgekit.cache.store import in_use, temporary_folder
from edgekit.config.paths import cache_folder
from edgekit.devices.base import Device, opened
from edgekit.devices.profile import load_profile
from edgekit.measure.session import Subject
from edgekit.pipeline.building import Ready, build_artifact
from edgekit.pipeline.measuring import Timing, provide_runners, push
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.turns import timing
from edgekit.recipe.loading import load_recipe


@contextmanager
def measured_here(recipe: str, target: str) -> Iterator[tuple[Device, Subject]]:
    """Build an artifact, or take it from the cache. Hold this machine's lock, and give the host and the subject to time."""
    plan = Plan.of(load_recipe(recipe), [target], photo_set())
    (one,) = plan.targets
    with in_use(), temporary_folder() as folder:
        prepared, artifact = build_artifact(plan, print, cache_folder() / "logs" / "benchmarks")
        with opened(load_profile("host")) as device, timing(device, print):
            provide_runners(device, print)
            device.prepare()
            yield device, push(device, Timing(Ready(0, artifact, plan, prepared), str(one), None), Path(folder))
