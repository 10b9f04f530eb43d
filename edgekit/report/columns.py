"""The one list of columns of what the ledger holds. Every report takes its columns from here.

The keys are those of CSV and JSON, and of ``--columns`` and ``--sort``. Units of plain values are in the keys, those of
the texts in the headings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgekit.published import PHONES
from edgekit.report import cells
from edgekit.report.column import Column, Value, shown
from edgekit.report.numbers import mega

if TYPE_CHECKING:
    from edgekit.report.rows import Row


def _manifest(*keys: str) -> Callable[[Row], Any]:
    return lambda row: _within(row.manifest, keys)


def _summary(*keys: str) -> Callable[[Row], Any]:
    return lambda row: _within(row.summary, keys)


def _condition(*keys: str) -> Callable[[Row], Any]:
    """Return a look-up in the conditions of a measurement; what a device did not report is ``unknown``."""
    return lambda row: _within(row.conditions, keys, "unknown") if row.conditions else None


def _condition_or_none(*keys: str) -> Callable[[Row], Any]:
    return lambda row: _within(row.conditions, keys)


def _accuracy(key: str) -> Callable[[Row], Any]:
    return lambda row: getattr(row.accuracy, key) if row.accuracy else None


def _failure(key: str) -> Callable[[Row], Any]:
    return lambda row: str(getattr(row.failure.failure, key)) if row.failure else None


def _published(index: int) -> Callable[[Row], Any]:
    return lambda row: row.published_accuracy[index] if row.published_accuracy else None


def _within(found: Any, keys: tuple[str, ...], missing: Value = None) -> Any:
    for key in keys:
        if not isinstance(found, dict) or found.get(key) is None:
            return missing
        found = found[key]
    return found


def _top1(row: Row) -> float | None:
    found = row.accuracy
    return cells.chief(found) if found and found.metric == "top1" else None


def _mega(key: str, least: int) -> Callable[[Row], str | None]:
    return lambda row: mega(row.manifest[key], least) if row.manifest and key in row.manifest else None


def _phone(phone: str) -> Column[Row]:
    def text(row: Row) -> str | None:
        found = cells.paper_latency(row, phone)
        return None if found is None else f"{found:g}"

    return Column(
        f"{phone.lower().replace(' ', '')}_ms_published",
        phone,
        lambda row: cells.paper_latency(row, phone),
        text,
        unit="ms",
        kind="published",
        align="right",
        shown=shown("present"),
        rank=9,
    )


IDENTITY: tuple[Column[Row], ...] = (
    Column(
        "recipe", "Recipe", lambda row: row.recipe, lambda row: row.title, shown=shown("always"), rank=0, identity=True
    ),
    Column("variant", "Variant", lambda row: row.variant, shown=shown()),
    Column("target", "Target", lambda row: row.target, shown=shown("always"), rank=0, identity=True),
    Column("model_hash", "Model", lambda row: row.model, shown=shown()),
    Column(
        "device",
        "Device",
        lambda row: row.device,
        lambda row: row.device_label,
        shown=shown("present", terminal="varies"),
        rank=1,
        identity=True,
    ),
    Column("device_id", "Device id", lambda row: row.device_id, shown=shown()),
    Column("device_model", "Device model", _condition("model"), shown=shown()),
    Column("os_build", "OS build", _condition("os_build"), shown=shown("varies", terminal=None), rank=2, identity=True),
    Column(
        "protocol", "Protocol", lambda row: row.protocol, shown=shown("present", terminal=None), rank=2, identity=True
    ),
)
CONDITIONS: tuple[Column[Row], ...] = (
    Column("runner", "Runner", _condition("runner"), shown=shown(), rank=2, identity=True),
    Column("runner_version", "Runner version", cells.runner_version, shown=shown(), rank=2, identity=True),
    Column("runner_origin", "Runner from", _condition("runner_origin"), shown=shown()),
    Column("runner_sources", "Runner's sources", _condition("runner_sources"), shown=shown()),
    Column("runtime", "Runtime", _condition("runtime"), shown=shown()),
    Column("runtime_version", "Runtime version", _condition("runtime_version"), shown=shown(), rank=2, identity=True),
    Column("threads", "Threads", _condition("threads"), align="right", shown=shown(), rank=2, identity=True),
    Column("emulated", "Emulated", lambda row: row.emulated, shown=shown(), rank=2, identity=True),
    Column("source", "Imported from", lambda row: row.source, shown=shown(), rank=2, identity=True),
    Column("clock_rung", "Clock", lambda row: row.clock_rung, shown=shown(), rank=2, identity=True),
    Column("cpu", "CPU", _condition("soc"), shown=shown(), rank=2, identity=True),
    Column("cpu_architecture", "Architecture", _condition("machine"), shown=shown()),
    Column("cpu_features", "CPU features", cells.cpu_features, shown=shown(), rank=2, identity=True),
    Column("edgekit_version", "edgekit", lambda row: row.edgekit_version, shown=shown(), rank=2, identity=True),
    Column(
        "measured_at",
        "Measured",
        lambda row: row.measured_at.isoformat() if row.measured_at else None,
        lambda row: f"{row.measured_at:%Y-%m-%d %H:%M}" if row.measured_at else None,
        unit="UTC",
        shown=shown("present", terminal=None),
        rank=2,
        identity=True,
    ),
    Column(
        "recorded_at",
        "Recorded",
        lambda row: row.recorded_at.isoformat() if row.recorded_at else None,
        lambda row: f"{row.recorded_at:%Y-%m-%d %H:%M:%S}" if row.recorded_at else None,
        unit="UTC",
        shown=shown(),
        rank=2,
        identity=True,
    ),
    Column("run", "Run", lambda row: row.run, shown=shown(), rank=2, identity=True),
)
LATENCY: tuple[Column[Row], ...] = (
    Column(
        "latency_ms_measured",
        "Latency",
        _summary("median"),
        cells.latency,
        unit="ms",
        kind="measured",
        shown=shown("present"),
        rank=0,
    ),
    Column(
        "latency_centre",
        "Centre",
        lambda row: (row.summary or {}).get("centre", "median") if row.summary else None,
        shown=shown(),
    ),
    Column("interval_low_ms", "Interval, low", _summary("interval", "low"), unit="ms", shown=shown()),
    Column("interval_high_ms", "Interval, high", _summary("interval", "high"), unit="ms", shown=shown()),
    Column("interval_confidence", "Confidence", _summary("interval", "confidence"), shown=shown(), best="high"),
    Column(
        "first_window_ms",
        "First part",
        cells.window(0),
        cells.milliseconds(cells.window(0)),
        unit="ms",
        kind="measured",
        shown=shown(),
    ),
    Column(
        "last_window_ms",
        "Last part",
        cells.window(-1),
        cells.milliseconds(cells.window(-1)),
        unit="ms",
        kind="measured",
        shown=shown(),
    ),
    Column(
        "sustained_change",
        "Change",
        cells.sustained_change,
        lambda row: None if cells.sustained_change(row) is None else f"{cells.sustained_change(row):+.0%}",
        align="right",
        shown=shown(),
    ),
    Column("status", "Status", lambda row: row.status, shown=shown()),
    Column(
        "result",
        "Result",
        lambda row: row.result,
        cells.result,
        shown=shown("always"),
        rank=0,
        style=cells.result_style,
    ),
    Column("marked_sessions", "Marked", cells.marked, align="right", shown=shown()),
    Column("evidence", "Evidence", lambda row: row.evidence, shown=shown()),
)
ACCURACY: tuple[Column[Row], ...] = (
    Column("top1_this_artifact", "Top-1", _top1, unit="%", kind="this artifact", shown=shown(), best="high"),
    Column(
        "accuracy_this_artifact",
        "Top-1",
        lambda row: cells.chief(row.accuracy) if row.accuracy else None,
        cells.accuracy,
        unit="%",
        kind="this artifact",
        shown=shown("present"),
        best="high",
        rank=3,
    ),
    Column(
        "accuracy_this_artifact_low",
        "Accuracy, low",
        lambda row: cells.accuracy_bound(row, 0),
        shown=shown(),
        best="high",
    ),
    Column(
        "accuracy_this_artifact_high",
        "Accuracy, high",
        lambda row: cells.accuracy_bound(row, 1),
        shown=shown(),
        best="high",
    ),
    Column("accuracy_this_artifact_metric", "Metric", _accuracy("metric"), shown=shown()),
    Column(
        "accuracy_photos",
        "Photos",
        _accuracy("n"),
        align="right",
        shown=shown("present", terminal="varies"),
        best="high",
        rank=4,
    ),
    Column(
        "accuracy_data_set",
        "Data set",
        _accuracy("data_set"),
        cells.data_set,
        shown=shown("present", terminal="varies"),
        rank=4,
    ),
    Column("accuracy_subset_sha256", "Photos' hash", _accuracy("subset_sha256"), shown=shown()),
    Column("accuracy_kind", "Kind of accuracy", _accuracy("kind"), shown=shown()),
    Column("accuracy_device", "Evaluated on", _accuracy("device"), shown=shown()),
    Column(
        "accuracy_published_low",
        "Top-1",
        _published(0),
        lambda row: cells.published_accuracy(row.published_accuracy),
        unit="%",
        kind="published",
        align="right",
        shown=shown("present"),
        best="high",
        rank=7,
    ),
    Column("accuracy_published_high", "Published, high", _published(1), shown=shown(), best="high"),
    Column("accuracy_metric", "Published metric", _published(2), shown=shown()),
)
TIMES: tuple[Column[Row], ...] = (
    Column("p90_ms", "p90", _summary("p90"), cells.p90, unit="ms", kind="measured", shown=shown("present"), rank=6),
    Column("p90_upper_ms", "p90, upper bound", _summary("p90_upper"), unit="ms", shown=shown()),
    Column("p90_upper_confidence", "p90, confidence of the bound", _summary("p90_confidence"), shown=shown()),
    Column("load_ms", "Load", _summary("load"), unit="ms", align="right", shown=shown()),
    Column(
        "energy_mj",
        "Energy",
        _condition_or_none("energy", "millijoules"),
        cells.energy,
        unit="mJ",
        kind="derived",
        align="right",
        shown=shown("present"),
        rank=6,
    ),
    Column(
        "cold_load_ms",
        "Cold load",
        _condition_or_none("cold_load", "median_ms"),
        cells.milliseconds(_condition_or_none("cold_load", "median_ms")),
        unit="ms",
        align="right",
        shown=shown("present"),
        rank=6,
    ),
    Column("first_ms", "First inference", _summary("first"), unit="ms", align="right", shown=shown()),
    Column("sessions", "Sessions", _summary("sessions"), align="right", shown=shown(), best="high"),
    Column("iterations", "Iterations", _summary("iterations"), align="right", shown=shown(), best="high"),
)
MEMORY: tuple[Column[Row], ...] = (
    Column(
        "peak_rss_kb",
        "Peak memory",
        lambda row: cells.memory(row, "peak_rss_kb"),
        lambda row: cells.megabytes(cells.memory(row, "peak_rss_kb"), 1024),
        unit="MB",
        kind="measured",
        align="right",
        shown=shown(),
    ),
    Column(
        "model_rss_kb",
        "Memory of the model",
        lambda row: cells.memory(row, "model_rss_kb"),
        lambda row: cells.megabytes(cells.memory(row, "model_rss_kb"), 1024),
        unit="MB",
        kind="measured",
        align="right",
        shown=shown(),
    ),
    Column(
        "activations_bytes",
        "Peak activations",
        lambda row: cells.memory(row, "activations_bytes"),
        lambda row: cells.megabytes(cells.memory(row, "activations_bytes")),
        unit="MB",
        kind="derived",
        align="right",
        shown=shown(),
    ),
    Column(
        "planned_bytes",
        "Planned by the runtime",
        lambda row: cells.memory(row, "planned_bytes"),
        lambda row: cells.megabytes(cells.memory(row, "planned_bytes")),
        unit="MB",
        align="right",
        shown=shown(),
    ),
    Column(
        "fallback_share",
        "Off the delegate",
        cells.fallback_share,
        lambda row: None if (share := cells.fallback_share(row)) is None else f"{share:.1%}",
        kind="measured",
        align="right",
        shown=shown(),
    ),
)
ARTIFACT: tuple[Column[Row], ...] = (
    Column(
        "size_bytes",
        "Size",
        _manifest("size_bytes"),
        _mega("size_bytes", 1),
        unit="MB",
        align="right",
        shown=shown("present"),
        rank=6,
    ),
    Column(
        "parity_snr_db",
        "Parity with PyTorch",
        _manifest("parity", "snr_db"),
        cells.parity,
        shown=shown("present"),
        best="high",
        rank=5,
    ),
    Column("parity_kind", "Kind of parity", _manifest("parity", "kind"), shown=shown()),
    Column("parity_max_absolute", "Parity, largest error", _manifest("parity", "max_absolute"), shown=shown()),
    Column(
        "parity_top1_agreement", "Parity, agreement", _manifest("parity", "top1_agreement"), shown=shown(), best="high"
    ),
    Column(
        "parameters",
        "Params",
        _manifest("parameters"),
        _mega("parameters", 2),
        unit="M",
        kind="counted",
        align="right",
        shown=shown("present"),
        rank=8,
    ),
    Column(
        "multiply_adds",
        "MAdds",
        _manifest("multiply_adds"),
        _mega("multiply_adds", 1),
        unit="M",
        kind="counted",
        align="right",
        shown=shown("present"),
        rank=8,
    ),
    Column("contract", "Contract", _manifest("contract"), shown=shown()),
    Column("weights", "Weights", _manifest("weights"), shown=shown("present", terminal=None), rank=8),
    Column(
        "compile_seconds",
        "Compiled in",
        _manifest("compile_seconds"),
        lambda row: (
            f"{row.manifest['compile_seconds']:.0f}" if row.manifest and "compile_seconds" in row.manifest else None
        ),
        unit="s",
        align="right",
        shown=shown(),
    ),
    Column(
        "delegate_partitions", "Delegate parts", _manifest("delegation", "partitions"), align="right", shown=shown()
    ),
    Column("tools", "Built with", cells.tools, shown=shown()),
    Column("artifact_sha256", "SHA-256", _manifest("sha256"), shown=shown()),
    Column(
        "path",
        "Path",
        lambda row: cells.cached_path(row.manifest) if row.manifest else None,
        shown=shown(),
        rank=9,
        below=True,
    ),
)
FAILURE: tuple[Column[Row], ...] = (
    Column("failure_kind", "Failure", _failure("kind"), shown=shown()),
    Column("failure_stage", "Stage", _failure("stage"), shown=shown()),
    Column("failure", "Message", _failure("message"), shown=shown()),
    Column("failure_hint", "Hint", _failure("hint"), shown=shown()),
)
COLUMNS: tuple[Column[Row], ...] = (
    *IDENTITY,
    *CONDITIONS,
    *LATENCY,
    *ACCURACY,
    *TIMES,
    *MEMORY,
    *ARTIFACT,
    *map(_phone, PHONES),
    *FAILURE,
)
"""All columns in their order, of the CSV too."""
BY_KEY = {column.key: column for column in COLUMNS}
_COMPILED = (
    "recipe",
    "target",
    "result",
    "size_bytes",
    "compile_seconds",
    "parity_snr_db",
    "delegate_partitions",
    "path",
)
COMPILED = tuple(replace(BY_KEY[key], shown=shown("present")) for key in _COMPILED)
"""The columns of what `compile` prints: nothing was timed."""
