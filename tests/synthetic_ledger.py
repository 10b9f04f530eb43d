"""Ledgers with a known truth: recipes x targets x devices with true latencies and accuracies, and measurements of them.

The model. A recipe has a cost, drawn log-uniformly. Its true latency on a device is cost x target's factor x device's factor,
times a log-normal interaction. Its true accuracy rises with the logarithm of its cost. A session's median is the true latency
times a log-normal factor (`between`), a sample is the session's median times another (`within`). Both spreads differ between
cells by up to a factor of three. A share of the sessions (`interfered`) is 10 to 30 % slower, because of other work.

PyTorch gets a binomial number of photos right; an artifact loses some of these and gains some others. Different recipes get
photos right independently, which makes their differences harder to see than in practice. All of it follows from the seed.

`write(ledger, Spec(...))` writes a ledger and returns the truth. Measurements of one repeat are one run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from edgekit.evaluation.metrics import Comparison, mcnemar, paired_difference, share
from edgekit.ledger import Ledger
from edgekit.ledger.models import model_hash
from edgekit.ledger.schema import (
    AccuracyRow,
    ArtifactRow,
    DeviceRow,
    FailureRow,
    MeasurementRow,
    RunRow,
    SessionRow,
)
from edgekit.measure.statistics import NANOSECONDS, Summary, order_statistic_interval
from edgekit.measure.verdict import judge

TARGETS = ("tflite/xnnpack/fp32", "tflite/xnnpack/int8", "executorch/xnnpack/fp32", "executorch/xnnpack/int8")
START = datetime(2026, 1, 1, tzinfo=UTC)
CellName = tuple[str, str, str]
"""Recipe, target, device."""


@dataclass(frozen=True)
class Spec:
    """What to write. `between` and `within` are the typical spreads, as a share of the latency.

    `photos` of 0 writes no accuracies. `failures` is the share of cells that fail in every repeat. `costs` are in ms.
    """

    recipes: int = 6
    targets: tuple[str, ...] = TARGETS[:2]
    devices: int = 1
    repeats: int = 1
    sessions: int = 6
    samples: int = 30
    between: float = 0.01
    within: float = 0.03
    interfered: float = 0.0
    photos: int = 1000
    failures: float = 0.0
    costs: tuple[float, float] = (2.0, 60.0)
    accuracies: tuple[float, float] = (60.0, 80.0)
    seed: int = 0


@dataclass
class Truth:
    """What is true: medians in ms by cell, accuracies in percent by recipe and target, spreads by cell, cells that fail.

    `baseline` is the share of photos that PyTorch gets right, `lost` and `gained` are shares of the photos that it gets right
    and wrong.
    """

    latency_ms: dict[CellName, float] = field(default_factory=dict)
    accuracy: dict[tuple[str, str], float] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    lost: dict[tuple[str, str], float] = field(default_factory=dict)
    gained: dict[tuple[str, str], float] = field(default_factory=dict)
    between: dict[CellName, float] = field(default_factory=dict)
    within: dict[CellName, float] = field(default_factory=dict)
    size_bytes: dict[tuple[str, str], int] = field(default_factory=dict)
    failed: set[CellName] = field(default_factory=set)

    @property
    def measured(self) -> list[CellName]:
        """The cells that do not fail, in a fixed order."""
        return [cell for cell in self.latency_ms if cell not in self.failed]


def make_truth(spec: Spec) -> Truth:
    """Return the truth of a ledger; the same for the same `spec`."""
    random = np.random.default_rng(spec.seed)
    truth, (low, high) = Truth(), np.log(spec.costs)
    speeds = {f"device{index}": factor for index, factor in enumerate(random.uniform(0.7, 3.0, spec.devices))}
    for number in range(spec.recipes):
        recipe, cost = f"net{number:02}", random.uniform(low, high)
        grade = (cost - low) / (high - low)
        top = float(np.clip(np.interp(grade, (0, 1), spec.accuracies) + random.normal(0, 1.5), 1, 99)) / 100
        truth.baseline[recipe] = top
        for target in spec.targets:
            int8 = target.endswith("int8")
            drop, churn = (random.uniform(0, 0.02), random.uniform(0.01, 0.03)) if int8 else (0.0, 0.0005)
            lost, gained = min(1.0, (churn + drop) / top), min(1.0, churn / (1 - top))
            truth.lost[recipe, target], truth.gained[recipe, target] = lost, gained
            truth.accuracy[recipe, target] = 100 * (top * (1 - lost) + (1 - top) * gained)
            truth.size_bytes[recipe, target] = int(1e6 * (1 + 20 * grade) * (0.3 if int8 else 1))
            factor = (0.55 if int8 else 1.0) * (1.1 if target.startswith("executorch") else 1.0)
            for device, speed in speeds.items():
                cell = (recipe, target, device)
                truth.latency_ms[cell] = float(np.exp(cost + random.normal(0, 0.15)) * factor * speed)
                for spreads, typical in ((truth.between, spec.between), (truth.within, spec.within)):
                    spreads[cell] = float(typical * 3 ** random.uniform(-1, 1))
                if random.random() < spec.failures:
                    truth.failed.add(cell)
    return truth


def write(ledger: Ledger, spec: Spec) -> Truth:
    """Fill a new ledger by `spec` and return what is true."""
    truth = make_truth(spec)
    random = np.random.default_rng([spec.seed, 1])
    devices = sorted({device for _, _, device in truth.latency_ms})
    with ledger._session(ledger._writer) as session:
        for device in devices:
            row = {"id": device_id(device), "name": device, "info": described(device), "first_seen": START}
            session.execute(insert(DeviceRow), [row])
    for repeat in range(spec.repeats):
        with ledger._session(ledger._writer) as session:
            for table, rows in rows_of_run(spec, truth, repeat, random):
                if rows:
                    session.execute(insert(table), rows)
    return truth


def rows_of_run(
    spec: Spec, truth: Truth, repeat: int, random: np.random.Generator
) -> Iterator[tuple[type[Any], list[dict[str, Any]]]]:
    """Yield the tables and their new rows, in the order in which they refer to each other."""
    run, at = f"{spec.seed:06x}{repeat:06x}", START + timedelta(hours=repeat)
    protocol = {"name": "1t-big", "sessions": spec.sessions, "iterations": spec.samples}
    common = {"started_at": at, "finished_at": at + timedelta(minutes=59), "status": "done", "edgekit_version": "0"}
    yield RunRow, [{**common, "id": run, "command": "profile", "seed": repeat, "protocol": protocol, "plan": {}}]
    artifacts = {
        built: 1 + index + repeat * len(truth.accuracy) for index, built in enumerate(truth.accuracy)
    }  # built -> id
    yield ArtifactRow, [artifact_row(spec, truth, built, run, id, at) for built, id in artifacts.items()]
    if repeat == 0 and spec.photos:
        right = {recipe: int(random.binomial(spec.photos, share)) for recipe, share in truth.baseline.items()}
        yield AccuracyRow, [accuracy_row(spec, truth, built, right[built[0]], run, at, random) for built in artifacts]
    yield FailureRow, [failure_row(spec, cell, run, at) for cell in sorted(truth.failed)]
    first, cells = 1 + repeat * len(truth.measured), truth.measured
    samples = draw(spec, truth, cells, random)
    summaries = summaries_of(samples)
    measured = []
    for index, (recipe, target, device) in enumerate(cells):
        judgement = judge(Summary.model_validate(summaries[index]))
        moment = at + timedelta(seconds=index)
        measured.append(
            {
                "id": first + index,
                "artifact_id": artifacts[recipe, target],
                "device_id": device_id(device),
                "target": target,
                "protocol": protocol,
                "protocol_name": protocol["name"],
                "kind": "measured",
                "started_at": moment,
                "finished_at": moment + timedelta(seconds=30),
                "verdict": judgement.verdict,
                "evidence": judgement.evidence,
                "summary": summaries[index],
                "conditions": {**described(device), **CONDITIONS, "artifact_sha256": sha256_of(spec, recipe, target)},
            }
        )
    yield MeasurementRow, measured
    yield SessionRow, list(session_rows(samples, first, at))


def draw(spec: Spec, truth: Truth, cells: list[CellName], random: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return samples in nanoseconds: (cells, sessions, samples)."""
    shape = (len(cells), spec.sessions, spec.samples)
    medians, between, within = (
        np.array([values[cell] for cell in cells])[:, None, None]
        for values in (truth.latency_ms, truth.between, truth.within)
    )
    sessions = np.log(medians) + between * random.standard_normal((*shape[:2], 1))
    slower = random.random((*shape[:2], 1)) < spec.interfered
    sessions += slower * np.log(random.uniform(1.1, 1.3, slower.shape))
    return np.asarray(NANOSECONDS * np.exp(sessions + within * random.standard_normal(shape))).astype(np.int64)


def summaries_of(samples: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """Return what :func:`edgekit.measure.statistics.summarise` would, for all cells at once."""
    from scipy import stats

    cells, sessions, count = samples.shape
    values = samples / NANOSECONDS
    medians = np.sort(np.median(values, axis=2), axis=1)
    ranks = order_statistic_interval(range(sessions))
    pooled = np.sort(values.reshape(cells, -1), axis=1)
    rank = int(stats.binom.ppf(0.95, sessions * count, 0.9))
    columns = {
        "median": np.median(medians, axis=1),
        "minimum": pooled[:, 0],
        "mean": pooled.mean(axis=1),
        "median_absolute_deviation": stats.median_abs_deviation(pooled, axis=1),
        "between_sessions_cv": medians.std(axis=1, ddof=1) / medians.mean(axis=1) if sessions > 1 else np.zeros(cells),
        "within_sessions_cv": np.median(values.std(axis=2, ddof=1) / values.mean(axis=2), axis=1),
        "p90": np.quantile(pooled, 0.9, axis=1),
    }
    found = []
    for index in range(cells):
        row = medians[index]
        interval = {"low": row[int(ranks.low)], "high": row[int(ranks.high)], "confidence": ranks.confidence}
        own = {name: float(values[index]) for name, values in columns.items()}
        upper = float(pooled[index, rank]) if rank < sessions * count else None
        fixed = {"sessions": sessions, "iterations": sessions * count, "load": 30.0, "first": 2 * own["median"]}
        bounded = {"p90": own["p90"] if upper is not None else None, "p90_upper": upper, "p90_confidence": 0.95}
        found.append({**fixed, **own, "interval": interval, **bounded, "centre": "median"})
    return found


def session_rows(samples: np.ndarray[Any, Any], first: int, at: datetime) -> Iterator[dict[str, Any]]:
    """Yield the rows of all sessions; `first` is the id of the first measurement."""
    centres = np.median(samples, axis=2)
    for index, block in np.ndindex(centres.shape):
        yield {
            "measurement_id": first + index,
            "block": block,
            "started_at": at + timedelta(seconds=index, milliseconds=block),
            "load_ns": 30_000_000,
            "first_ns": int(2 * centres[index, block]),
            "samples": samples[index, block].tolist(),
            "centre_ns": float(centres[index, block]),
            "environment": {**ENVIRONMENT, "max_rss_kb": 40_000 + 100 * (index % 400) + block},
        }


def artifact_row(spec: Spec, truth: Truth, built: tuple[str, str], run: str, id: int, at: datetime) -> dict[str, Any]:
    """Return the row of an artifact with its manifest."""
    manifest = manifest_of(spec, truth, *built)
    names = (
        "sha256",
        "build_key",
        "recipe",
        "recipe_hash",
        "variant",
        "architecture",
        "target",
        "format",
        "size_bytes",
    )
    known = {"id": id, "run_id": run, "manifest": manifest, "model_hash": model_hash(manifest), "recorded_at": at}
    return {**known, **{name: manifest[name] for name in names}}


def accuracy_row(
    spec: Spec,
    truth: Truth,
    built: tuple[str, str],
    baseline: int,
    run: str,
    at: datetime,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Return the row of an evaluation on the host, compared with PyTorch, which gets `baseline` of the photos right."""
    recipe, target = built
    lost = int(random.binomial(baseline, truth.lost[built]))
    gained = int(random.binomial(spec.photos - baseline, truth.gained[built]))
    right = baseline - lost + gained
    compared = Comparison(
        against="pytorch",
        against_sha256=hashlib.sha256(recipe.encode()).hexdigest(),
        metric="top1",
        n=spec.photos,
        difference=paired_difference(gained, lost, spec.photos),
        p=mcnemar(gained, lost),
        agreement=share(spec.photos - gained - lost, spec.photos),
        only_this=gained,
        only_that=lost,
    )
    return {
        "run_id": run,
        "artifact_sha256": sha256_of(spec, recipe, target),
        "subset_sha256": "5" * 64,
        "recipe": recipe,
        "variant": "1.0/224",
        "target": target,
        "data_set": "synthetic",
        "data_format": "csv",
        "photos": spec.photos,
        "n": spec.photos,
        "metric": "top1",
        "metrics": {"top1": share(right, spec.photos).model_dump()},
        "comparison": compared.model_dump(),
        "failed": {},
        "kind": "measured",
        "device": None,
        "device_id": None,
        "host": "host",
        "recorded_at": at,
    }


def failure_row(spec: Spec, cell: CellName, run: str, at: datetime) -> dict[str, Any]:
    """Return the row of a failure on the device."""
    recipe, target, device = cell
    return {
        "run_id": run,
        "recipe": recipe,
        "variant": "1.0/224",
        "target": target,
        "device": device,
        "artifact_sha256": sha256_of(spec, recipe, target),
        "kind": "crashed",
        "stage": "measure",
        "message": f"{recipe} crashed on {device}.",
        "hint": "",
        "retriable": True,
        "at": at,
    }


def manifest_of(spec: Spec, truth: Truth, recipe: str, target: str) -> dict[str, Any]:
    """Return a manifest with everything that a real one has."""
    return {
        "schema_version": 1,
        "recipe": recipe,
        "recipe_hash": hashlib.sha256(recipe.encode()).hexdigest(),
        "architecture": "mobilenet_v2",
        "variant": "1.0/224",
        "model": {"width": 1.0, "resolution": 224, "classes": 1000, "seed": int(recipe.removeprefix("net"))},
        "target": target,
        "format": {"tflite": "tflite", "executorch": "pte", "coreml": "mlpackage"}[target.partition("/")[0]],
        "file": f"{recipe}.bin",
        "sha256": sha256_of(spec, recipe, target),
        "size_bytes": truth.size_bytes[recipe, target],
        "build_key": sha256_of(spec, recipe, target)[::-1],
        "weights": f"{recipe}.pth",
        "weights_sha256": hashlib.sha256(recipe.encode()).hexdigest()[::-1],
        "warnings": [],
        "parameters": parameters_of(truth, recipe),
        "multiply_adds": multiply_adds_of(truth, recipe),
        "contract": "met",
        "calibration_sha256": "c" * 64,
        "calibration": {"photos": 64},
        "inputs": [{"name": "image", "shape": [1, 224, 224, 3], "dtype": "float32", "layout": "NHWC"}],
        "outputs": [{"name": "logits", "shape": [1, 1000], "dtype": "float32", "layout": "NC"}],
        "delegation": {"partitions": 1, "complete": True, "outside": []},
        "parity": PARITY,
        "tools": {"torch": "2.13.0", "litert-torch": "0.10.0", "ai-edge-litert": "2.3.0", "numpy": "2.4.6"},
        "compile_seconds": 21.0,
        "published": None,
    }


def multiply_adds_of(truth: Truth, recipe: str) -> int:
    """Return a count that follows the first latency up to a factor of 2.5, so that the two orders agree only in part."""
    first = next(latency for (name, _, _), latency in truth.latency_ms.items() if name == recipe)
    factor = 2.5 ** (int(hashlib.sha256(f"cost {recipe}".encode()).hexdigest()[:8], 16) / 2**31 - 1)
    return int(20e6 * first * factor)


def parameters_of(truth: Truth, recipe: str) -> int:
    """Return a quarter of the bytes of the recipe's largest artifact."""
    return max(size for (name, _), size in truth.size_bytes.items() if name == recipe) // 4


def described(device: str) -> dict[str, Any]:
    """Return what is known of a device."""
    return {"model": f"model of {device}", "os_build": "Linux 6.1", "soc": "a chip", "cpus": [0, 1, 2, 3]}


def device_id(device: str) -> str:
    """Return the hash of a device's identity."""
    return hashlib.sha256(device.encode()).hexdigest()[:16]


def sha256_of(spec: Spec, recipe: str, target: str) -> str:
    """Return the hash of an artifact."""
    return hashlib.sha256(f"{spec.seed} {recipe} {target}".encode()).hexdigest()


PARITY = {
    "kind": "measured",
    "photos": 64,
    "max_absolute": 1e-5,
    "max_relative": 1e-6,
    "snr_db": 108.0,
    "top1_agreement": 1.0,
    "passed": True,
    "limits": {},
}
STATE = {"clock_rung": "free", "temperature_c": 31.5, "thermal_status": 0, "battery": 90, "charging": True, "load": 0.1}
CONDITIONS = {
    "emulated": False,
    "before": STATE,
    "after": STATE,
    "parity_on_device": {"max_absolute": 1e-5, "max_relative": 1e-6, "snr_db": 108.0},
    "runtime": "runtime",
    "runtime_version": "1.0",
    "threads": 1,
    "affinity": [3],
    "delegate": "xnnpack",
    "edgekit": "0",
    "tools": {"torch": "2.13.0", "litert-torch": "0.10.0", "ai-edge-litert": "2.3.0"},
    "recorded_at": "2026-01-01T00:00:00+00:00",
}
ENVIRONMENT = {
    "runtime": "runtime",
    "runtime_version": "1.0",
    "threads": 1,
    "affinity": [3],
    "machine": "aarch64",
    "kernel": "6.1",
    "process_context": "shell",
    "cpus_seen": [3],
    "threads_busy": 1,
    "process_seconds": 2.1,
}
