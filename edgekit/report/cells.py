"""What the columns of :mod:`edgekit.report.columns` print for people, and the values that need more than a look-up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.config.paths import cache_folder
from edgekit.evaluation.labels import LABELS
from edgekit.measure.operators import stored_profile
from edgekit.measure.sustained import change
from edgekit.report.numbers import number, with_interval

if TYPE_CHECKING:
    from edgekit.ledger.records import AccuracyRecord
    from edgekit.report.rows import Row


PLAIN = (0.95, 0.98)
"""An interval with a confidence outside of these is printed with it. Few sessions do not allow every confidence."""


def latency(row: Row) -> str | None:
    """Return ``median [low, high]`` in ms, with the confidence if it is not in PLAIN, and ``mean`` if it is of means.

    One session has no interval.
    """
    if not row.summary:
        return None
    interval = row.summary["interval"]
    centre = " mean" if row.summary.get("centre") == "mean" else ""
    return _with_confidence(row.summary["median"], (interval["low"], interval["high"]), interval["confidence"]) + centre


def _with_confidence(value: float, ends: tuple[float, float], confidence: float) -> str:
    """Return a median of sessions with its interval. One session has none: its confidence is 0."""
    if not confidence:
        return f"{number(value, 2)} (1 session)"
    named = "" if PLAIN[0] <= confidence <= PLAIN[1] else f" {confidence:.0%}"
    return with_interval(value, *ends, 2) + named


def p90(row: Row) -> str | None:
    """Return the 90th percentile with its upper 95 % bound in ms; None if there are too few runs for the bound."""
    if not row.summary or row.summary["p90_upper"] is None:
        return None
    return f"{number(row.summary['p90'], 2)} (≤ {number(row.summary['p90_upper'], 2)})"


def parity(row: Row) -> str | None:
    """Return how near the artifact's outputs are to PyTorch's: signal-to-noise ratio and agreement."""
    return format_parity(row.manifest["parity"]) if row.manifest else None


def format_parity(result: dict[str, Any]) -> str:
    """Return a manifest's parity as the cell of a table; ``derived`` if the artifact itself was not executed."""
    from edgekit.build.parity import agreement  # NumPy, which a list of recipes needs not

    share = result["top1_agreement"]
    same = "" if share is None else f", {agreement(share, result['photos'], result.get('decisions'))}"
    return f"{result['snr_db']:.0f} dB{same}" + (" (derived)" if result["kind"] == "derived" else "")


def chief(found: AccuracyRecord) -> float:
    """Return the value of the chief metric in percent."""
    return float(found.metrics[found.metric]["value"])


def interval_of(found: AccuracyRecord) -> tuple[float, float] | None:
    """Return the 95 % interval of the chief metric in percent; None if there were too few photos for one."""
    bounds = found.metrics[found.metric]["interval"]
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


def metric_name(metric: str) -> str:
    """Return the name of an evaluation's metric: ``top-1``."""
    return LABELS[metric].removesuffix(" %")


def accuracy(row: Row) -> str | None:
    """Return ``value [low, high]`` in percent, with the metric if it is not top-1; None if nothing was evaluated."""
    if row.accuracy is None:
        return None
    bounds = interval_of(row.accuracy)
    interval = f" [{bounds[0]:.1f}, {bounds[1]:.1f}]" if bounds else ""
    metric = "" if row.accuracy.metric == "top1" else f" {metric_name(row.accuracy.metric)}"
    return f"{chief(row.accuracy):.1f}{interval}{metric}"


def accuracy_bound(row: Row, index: int) -> float | None:
    """Return the low (0) or the high (1) end of the accuracy's interval."""
    bounds = interval_of(row.accuracy) if row.accuracy else None
    return bounds[index] if bounds else None


def data_set(row: Row) -> str | None:
    """Return the evaluated data set, and the device if it was evaluated on one."""
    if row.accuracy is None:
        return None
    return row.accuracy.data_set + (f" on {row.accuracy.device}" if row.accuracy.device else "")


def published_accuracy(found: tuple[float, float, str] | None) -> str | None:
    """Return what is published, a range if sources disagree, with the metric if it is not top-1."""
    if not found:
        return None
    low, high, metric = found
    values = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    return values if metric == "top-1 %" else f"{values} {metric.removesuffix(' %')}"


def paper_latency(row: Row, phone: str) -> float | None:
    """Return the MobileNetV3 paper's latency on a phone, in ms."""
    figure = row.paper.get(phone)
    return figure.latency_ms if figure else None


def cached_path(manifest: Mapping[str, Any]) -> str | None:
    """Return an artifact's file or folder in this machine's cache by its manifest; None if it is not there."""
    if "file" not in manifest:
        return None
    path = _artifacts(os.environ.get("EDGEKIT_CACHE")) / manifest["build_key"] / manifest["file"]
    return str(path) if path.exists() else None


@cache
def _artifacts(chosen: str | None) -> Path:
    """Return the folder of the artifacts; `chosen` is the environment's cache, on which it depends."""
    return cache_folder() / "artifacts"


def tools(row: Row) -> str | None:
    """Return the versions of what built the artifact: ``litert-torch 0.10.0, ...``."""
    found = (row.manifest or {}).get("tools", {})
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items())) or None


def cpu_features(row: Row) -> str | None:
    """Return the instruction sets that kernels choose from, with spaces between; ``unknown`` if it was not recorded."""
    if not row.conditions:
        return None
    found = row.conditions.get("cpu_features", "unknown")
    return found if isinstance(found, str) else " ".join(found)


def runner_version(row: Row) -> str | None:
    """Return which build of a tool the runner is: its version, or the first digits of its hash."""
    found = row.conditions or {}
    return found.get("runner_version") or (found["runner_sha256"][:12] if "runner_sha256" in found else None)


def energy(row: Row) -> str | None:
    """Return the energy of an inference with its interval, as :func:`latency` does; None if it is unknown."""
    found = (row.conditions or {}).get("energy", {})
    if "millijoules" not in found:
        return None
    return _with_confidence(found["millijoules"], found["interval_mj"], found["confidence"])


def window(place: int) -> Callable[[Row], float | None]:
    """Return a look-up of the mean of a part of a sustained measurement: 0 is the first, -1 the last."""

    def found(row: Row) -> float | None:
        parts = (row.summary or {}).get("windows") or []
        return parts[place] if len(parts) > 1 else None

    return found


def milliseconds(value: Callable[[Row], float | None]) -> Callable[[Row], str | None]:
    """Return the text of a look-up of milliseconds."""

    def text(row: Row) -> str | None:
        found = value(row)
        return None if found is None else number(found, 2)

    return text


def sustained_change(row: Row) -> float | None:
    """Return how much slower the last part is than the first, as a part of it; None if it was not a sustained measurement."""
    return change((row.summary or {}).get("windows") or [])


def marked(row: Row) -> int | None:
    """Return how many sessions were disturbed; None if nothing was measured."""
    return len({mark["block"] for mark in row.marks}) if row.summary else None


def result(row: Row) -> str:
    """Return the verdict or why there is none, and how many sessions were disturbed."""
    return f"{row.result} ({marked(row)} marked)" if marked(row) else row.result


def result_style(row: Row) -> str:
    """Return the colour of a row's result."""
    if row.status == "failed":
        return "red"
    return "green" if row.verdict == "stable" else "yellow" if row.verdict else "cyan"


def memory(row: Row, key: str) -> int | None:
    """Return a figure of a measurement's memory pass by its key; None if it is unknown."""
    found = (row.conditions or {}).get("memory", {}).get(key)
    return found if isinstance(found, int) else None


def megabytes(amount: int | None, unit: int = 1) -> str | None:
    """Return an amount of memory in MB with one decimal; `unit` is 1024 for an amount in kB."""
    return None if amount is None else f"{amount * unit / 1e6:.1f}"


def memory_text(row: Row) -> str | None:
    """Return what is known of a measurement's memory in a sentence; None if nothing is."""
    peak, model = megabytes(memory(row, "peak_rss_kb"), 1024), megabytes(memory(row, "model_rss_kb"), 1024)
    activations = megabytes(memory(row, "activations_bytes"))
    parts = [
        *(
            [f"{peak} MB resident at most, {model} MB of it since before the model was loaded"]
            if peak and model
            else []
        ),
        *([f"{activations} MB of activations alive together (derived)"] if activations else []),
    ]
    return "; ".join(parts) or None


def fallback_share(row: Row) -> float | None:
    """Return the share of a run off the delegate, 0 to 1, by the measurement's operator profile; None without one."""
    profile = stored_profile(row.conditions or {})
    return profile.fallback_share if profile else None
