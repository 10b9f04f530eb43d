"""A small ledger of a few models with given latencies and accuracies, for the tests of `edgekit.selection`."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from edgekit.errors import Failure, FailureKind
from edgekit.evaluation.metrics import share
from edgekit.ledger.records import AccuracyRecord
from edgekit.measure.statistics import summarise
from edgekit.measure.verdict import judge
from tests.synthetic_ledger import PARITY, device_id

TARGET = "tflite/xnnpack/int8"
FRACTIONS = np.linspace(-1, 1, 30)
"""Of `within`: samples around their session's median, half below and half above."""


class Laboratory:
    """Records what is given, each artifact in a run of its own; `device` is a profile's name."""

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger
        self.begin()

    def begin(self) -> None:
        """Begin another run."""
        self.run = self.ledger.begin_run("profile", 0, {"name": "1t-big"}, {})

    def artifact(self, recipe: str, target: str = TARGET, **changes: Any) -> str:
        """Record an artifact and return its hash."""
        sha256 = changes.pop("sha256", hashlib.sha256(f"{recipe} {target}".encode()).hexdigest())
        manifest = {
            "recipe": recipe,
            "recipe_hash": recipe,
            "architecture": "mobilenet_v2",
            "variant": "1.0/224",
            "model": {"width": 1.0, "resolution": 224, "classes": 1000},
            "target": target,
            "format": "tflite",
            "sha256": sha256,
            "size_bytes": 4_000_000,
            "build_key": sha256,
            "weights": f"{recipe}.pth",
            "weights_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
            "parameters": 3_000_000,
            "multiply_adds": 300_000_000,
            "parity": PARITY,
            "published": None,
            **changes,
        }
        self.begin()
        self.id = self.ledger.record_artifact(self.run, manifest)
        return sha256

    def measure(
        self,
        recipe: str,
        milliseconds: float,
        accuracy: float | None = None,
        *,
        device: str = "pixel",
        target: str = TARGET,
        spread: float = 0.002,
        sessions: int = 6,
        protocol: str = "1t-big",
        conditions: dict[str, Any] | None = None,
        photos: int = 1000,
        identity: str | None = None,
        evaluation: dict[str, Any] | None = None,
        shape: bool = False,
        **changes: Any,
    ) -> int:
        """Record a measurement, and the artifact's accuracy in percent if it is given; return the measurement's id.

        The sessions rise by `spread`. With `shape` the verdict is of their samples too.
        """
        sha256 = self.artifact(recipe, target, **changes)
        identity = identity or device_id(device)
        self.ledger.record_device(identity, device, {"model": "a phone", "os_build": "1"})
        id = self.ledger.begin_measurement(self.id, identity, target, {"name": protocol})
        medians = milliseconds * (1 + spread * np.linspace(-1, 1, sessions))
        samples = [[int(1e6 * median * (1 + 0.01 * part)) for part in FRACTIONS] for median in medians]
        for block, session in enumerate(samples):
            facts = {"max_rss_kb": 50_000 + block}
            self.ledger.add_session(id, block, load_ns=1, first_ns=1, samples=session, environment=facts)
        summary = summarise(samples, [1] * sessions, [1] * sessions)
        judgement = judge(summary, samples if shape else ())
        known = {"emulated": False, "before": {"clock_rung": "free"}, **(conditions or {})}
        self.ledger.finish_measurement(
            id, verdict=judgement.verdict, evidence=judgement.evidence, summary=summary.model_dump(), conditions=known
        )
        if accuracy is not None:
            self.evaluate(recipe, sha256, accuracy, target, photos=photos, **(evaluation or {}))
        return id

    def evaluate(self, recipe: str, sha256: str, accuracy: float, target: str = TARGET, **changes: Any) -> None:
        """Record an evaluation on the host."""
        photos = changes.pop("photos", 1000)
        facts = {
            "artifact_sha256": sha256,
            "subset_sha256": "5" * 64,
            "recipe": recipe,
            "variant": "1.0/224",
            "target": target,
            "data_set": "photos",
            "data_format": "csv",
            "photos": photos,
            "n": photos,
            "metric": "top1",
            "metrics": {"top1": share(round(photos * accuracy / 100), photos).model_dump()},
            "comparison": None,
            "failed": {},
            "kind": "measured",
            "device": None,
            "device_id": None,
            "host": "host",
        }
        self.ledger.record_accuracy(self.run, AccuracyRecord(**{**facts, **changes}))

    def fail(self, recipe: str, device: str | None = "pixel", target: str | None = TARGET) -> None:
        """Record that a cell crashed."""
        failure = Failure(FailureKind.crashed, "measure", "It crashed.", "Look at the log.")
        self.ledger.record_failure(self.run, failure, recipe=recipe, variant="1.0/224", target=target, device=device)
