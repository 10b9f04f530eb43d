"""The accuracy-vs-latency table for a terminal, as Markdown and as CSV.

Every number says of which kind it is: measured here, derived, or published by somebody else for another device.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.backends.parity import agreement
from edgekit.published import PHONES, Figure
from edgekit.report.accuracy import accuracy_cell, accuracy_columns, accuracy_notes
from edgekit.report.document import RatioEntry
from edgekit.report.fitting import fill
from edgekit.report.rows import Row, comparable

DASH = "–"  # noqa: RUF001  (an en dash: the sign for "not known" in printed tables)
PUBLISHED_ACCURACY = ("accuracy_published_low", "accuracy_published_high", "accuracy_metric")
LATENCY_NOTE = (
    "Latency: median of session medians [95 % interval, or the confidence that the sessions allow]; "
    "inference only, batch 1."
)
MEAN_NOTE = "mean: the tool gives neither samples nor a median, so it is the median of session means."
P90_NOTE = "p90: 90th percentile of all runs (≤ its distribution-free upper 95 % bound)."
PAPER_NOTE = "Pixel columns: published, arXiv:1905.02244v5 Tables 3, 6, 7 (fp32) and 4 (int8), single large core; "


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the table as plain values, one dict per row: the columns of the CSV. Units are in the names."""
    return [_record(row) for row in rows]


def csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV with a header; what is not known is empty."""
    import pandas as pd

    columns = list(_record(Row(recipe="", variant="", target="", status="compiled")))
    # As objects: a column of whole numbers with a hole in it would become one of floats.
    return str(pd.DataFrame(records(rows), columns=columns, dtype=object).to_csv(index=False))


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as Markdown, with its footnotes; several tables where latencies are not to be compared."""
    if not rows:
        return "The ledger holds no result yet; `edgekit deploy recipes/v3_large.yaml --device host` makes one.\n"
    parts = comparable(rows).items()
    tables = [f"### {heading}\n\n{_markdown(own)}" if heading else _markdown(own) for heading, own in parts]
    return "\n\n".join(tables) + "\n\n" + "".join(f"- {note}\n" for note in notes(rows))


def _markdown(rows: Sequence[Row]) -> str:
    cells = [
        {
            "Recipe": row.title,
            "Weights": row.manifest["weights"] if row.manifest else DASH,
            "Target": row.target,
            "Device": row.device_label or DASH,
            "Protocol": row.protocol or DASH,
            "Measured (UTC)": f"{row.measured_at:%Y-%m-%d %H:%M}" if row.measured_at else DASH,
            "Params, M (counted)": _millions(row, "parameters", 2),
            "MAdds, M (counted)": _millions(row, "multiply_adds", 1),
            "Top-1 % (this artifact)": accuracy_cell(row, DASH),
            "Top-1 % (published)": _published_accuracy(row),
            "Latency, ms (measured)": latency(row),
            "p90, ms": p90(row),
            "Result": row.result,
            **{f"{phone}, ms (published)": _paper(row, phone) for phone in PHONES},
            "Size, MB": _megabytes(row),
            "Parity with PyTorch": parity(row),
        }
        for row in rows
    ]
    numeric = {
        "Params, M (counted)",
        "MAdds, M (counted)",
        "Size, MB",
        *(key for key in cells[0] if "(published)" in key),
    }
    import pandas as pd

    align = ["right" if key in numeric else "left" for key in cells[0]]
    return str(pd.DataFrame(cells).to_markdown(index=False, colalign=align, disable_numparse=True))


def terminal(rows: Sequence[Row], ratios: Sequence[RatioEntry], title: str, width: int) -> RenderableType:
    """Return the table, or tables, and the footnotes for a terminal `width` columns wide.

    What does not fit is left out from the right and named; what was measured is never cut. What other sources print is in the
    Markdown only.
    """
    tables, omitted = [], dict[str, None]()
    for heading, own in comparable(rows).items():
        table = Table(title=f"{title}: {heading}" if heading else title, title_justify="left", title_style="bold")
        omitted |= dict.fromkeys(_fill(table, own, width))
        tables.append(table)
    below = [*notes(rows, elsewhere=False), *ratio_lines(ratios)]
    if omitted:
        below.append(f"No room here for: {', '.join(omitted)}; `edgekit report` has everything.")
    return Group(*tables, *(Text(f"- {line}") for line in below))


def _fill(table: Table, rows: Sequence[Row], width: int) -> list[str]:
    """Fill a terminal's table and return what it has no room for."""
    several = len({row.title for row in rows}) > 1
    devices = len({row.device_label for row in rows if row.device}) > 1
    columns = {
        **({"recipe": [Text(row.title) for row in rows]} if several else {}),
        **({"device": [Text(row.device_label or DASH) for row in rows]} if devices else {}),
        "target": [Text(row.target) for row in rows],
        "latency, ms\nmeasured": [Text(latency(row)) for row in rows],
        "result": [Text(row.result, _style(row)) for row in rows],
        **(
            {"top-1 %\nthis artifact": [Text(accuracy_cell(row, DASH)) for row in rows]}
            if any(row.accuracy for row in rows)
            else {}
        ),
        "parity with\nPyTorch": [Text(parity(row)) for row in rows],
        "p90, ms\nmeasured": [Text(p90(row)) for row in rows],
        "size,\nMB": [Text(_megabytes(row), justify="right") for row in rows],
        **{f"{phone}, ms\npublished": [Text(_paper(row, phone), justify="right") for row in rows] for phone in PHONES},
    }
    return [
        heading.splitlines()[0].partition(",")[0]
        for heading in fill(table, columns, width, always=3 + several + devices)
    ]


def _style(row: Row) -> str:
    return (
        "red" if row.status == "failed" else "green" if row.verdict == "stable" else "yellow" if row.verdict else "cyan"
    )


def ratio_lines(ratios: Sequence[RatioEntry]) -> list[str]:
    """Return a sentence per pair of precisions that one run measured in turns."""
    return [
        f"{one.recipe} {one.variant} on {one.device}: {one.target} is "
        f"{one.speedup:.2f} [{one.interval[0]:.2f}, {one.interval[1]:.2f}] times as fast as {one.baseline} "
        f"(paired by block, {one.interval_confidence:.0%} interval)."
        for one in ratios
    ]


def latency(row: Row) -> str:
    """Return ``median [low, high]`` in ms; with the confidence where that is under 95 %, and ``mean`` where it is of means."""
    if not row.summary:
        return DASH
    interval = row.summary["interval"]
    confidence = "" if interval["confidence"] >= 0.95 else f" {interval['confidence']:.0%}"
    centre = " mean" if row.summary.get("centre") == "mean" else ""
    return f"{row.summary['median']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]{confidence}{centre}"


def p90(row: Row) -> str:
    """Return the 90th percentile with its upper 95 % bound in ms, a dash where there are too few runs for the bound."""
    if not row.summary or row.summary["p90_upper"] is None:
        return DASH
    return f"{row.summary['p90']:.2f} (≤ {row.summary['p90_upper']:.2f})"


def parity(row: Row) -> str:
    """Return how near the artifact's logits are to PyTorch's: signal-to-noise ratio, top-1 agreement, kind if derived."""
    return told_parity(row.manifest["parity"]) if row.manifest else DASH


def told_parity(result: dict[str, Any]) -> str:
    """Return a manifest's parity as the cell of a table."""
    same = agreement(result["top1_agreement"], result["photos"], result.get("decisions"))
    return f"{result['snr_db']:.0f} dB, {same}" + (" (derived)" if result["kind"] == "derived" else "")


def notes(rows: Sequence[Row], elsewhere: bool = True) -> list[str]:
    """Return the footnotes: what the numbers are, on what, what failed and why, and what is published `elsewhere`."""
    found: dict[str, None] = {}
    if any(row.summary for row in rows):
        found[LATENCY_NOTE] = None
    if any(row.summary and row.summary.get("centre") == "mean" for row in rows):
        found[MEAN_NOTE] = None
    if any(row.summary and row.summary["p90_upper"] is not None for row in rows):
        found[P90_NOTE] = None
    found |= dict.fromkeys(accuracy_notes(rows))
    for row in rows:
        found |= dict.fromkeys(_notes_of(row))
    if any(row.paper for row in rows):
        found[PAPER_NOTE + _whose_columns(rows)] = None
    if elsewhere:
        found |= dict.fromkeys(note for row in rows for note in _published_elsewhere(row))
    return list(found)


def _whose_columns(rows: Sequence[Row]) -> str:
    """Return whether a published column is of the phone that was measured: of its model, with another build and runtime."""
    same = {
        row.conditions["published_as"]: row.device
        for row in rows
        if row.conditions and "published_as" in row.conditions
    }
    named = [f"{column} is the model of {device}" for column, device in same.items()]
    return f"{', '.join(named)}, other builds and runtimes." if named else "other devices than the one measured."


def _notes_of(row: Row) -> list[str]:
    found = []
    if row.summary and row.conditions:
        found.append(_conditions(row))
        if "runner_arguments" in row.conditions:
            found.append(_tool(row, row.conditions))
    if row.evidence:
        found.append(f"{row.name}: {row.verdict}: {row.evidence}.")
    if row.manifest and row.manifest["weights"].startswith("random"):
        found.append(f"{row.title}: {row.manifest['weights']} weights: latencies hold, accuracy does not.")
    if row.namesake and row.manifest:
        found.append(_model(row, row.manifest))
    if row.failure:
        hint = f" {row.failure.failure.hint}" if row.failure.failure.hint else ""
        found.append(f"{row.name}: {row.result}: {row.failure.failure.message}{hint}")
    return found


def _model(row: Row, manifest: dict[str, Any]) -> str:
    """Return what tells a model from another one of the same recipe name and variant."""
    arguments = {name: value for name, value in manifest["model"].items() if value is not None}
    shown = ", ".join(f"{name} {value}" for name, value in arguments.items())
    return f"{row.title}: {manifest['architecture']}, {shown}, weights {manifest['weights']}."


def _published_elsewhere(row: Row) -> list[str]:
    """Return a line of what other sources print, accuracies only where they are not all the same."""
    others = [one for one in row.published if one not in set(row.paper.values())]
    accuracies = {one.accuracy for one in row.published if one.accuracy is not None}
    told = {f"{one.device} {one.latency_ms:g} ms ({_source(one)})" for one in others if one.latency_ms}
    if len(accuracies) > 1:
        told |= {f"{one.accuracy:g} {one.metric} ({_source(one)})" for one in others if one.accuracy is not None}
    return [f"{row.recipe} {row.precision}, published elsewhere: {'; '.join(sorted(told))}."] if told else []


def _source(figure: Figure) -> str:
    table = f", Table {figure.table}" if figure.table and "Table" not in figure.source else ""
    word = "" if figure.precision in {"float32", "uint8"} else f", {figure.precision}"
    return re.sub(r"@[0-9a-f]{40}", "", figure.source) + table + word


def _conditions(row: Row) -> str:
    assert row.conditions
    told = row.conditions
    cpu = told.get("affinity")
    return (
        f"{row.device_label}: {told.get('model', 'unknown')}, {told.get('soc', 'unknown')}, {told.get('os_build', 'unknown')}; "
        f"{f'measured {row.measured_at:%Y-%m-%d}, ' if row.measured_at else ''}"
        f"protocol {row.protocol}, {_workers(told)}, "
        f"CPU {cpu[0] if cpu and len(cpu) == 1 else 'unknown'}, "
        f"clock {told['before'].get('clock_rung', 'unknown')}, temperature {told['before'].get('temperature_c', 'unknown')}, "
        f"{'emulated' if told.get('emulated') else 'not emulated'}."
    )


def _workers(told: dict[str, Any]) -> str:
    """Return how many threads did the work, or which units Core ML was allowed and preferred for how many operations."""
    if "compute_units" in told:
        # A plan that was not the same in all sessions is no condition of the measurement.
        plan = ", ".join(f"{count} {unit}" for unit, count in told.get("compute_plan", {}).items())
        return f"compute units {told['compute_units']} (preferred: {plan or 'not the same in all sessions'})"
    return f"{told.get('threads') or 'unknown'} thread{'' if told.get('threads') == 1 else 's'}"


def _tool(row: Row, told: dict[str, Any]) -> str:
    arguments = " ".join(told["runner_arguments"])
    delegated = (
        f", the graph {told['delegated']} on the delegate" if told.get("delegated", "unknown") != "unknown" else ""
    )
    compared = "" if told.get("parity_on_device") else ", outputs not compared with PyTorch's"
    which = f"SHA-256 {told['runner_sha256'][:12]}" if "runner_sha256" in told else told["runner_version"]
    return (
        f"{row.name}: timed by {told['runner']} {arguments}".rstrip()
        + f" ({which}): CPU and threads not verified{compared}{delegated}."
    )


def _record(row: Row) -> dict[str, Any]:
    manifest, summary = row.manifest or {}, row.summary or {}
    interval = summary.get("interval") or {}
    result = manifest.get("parity") or {}
    return {
        "recipe": row.recipe,
        "variant": row.variant,
        "target": row.target,
        "model_hash": row.model,
        "device": row.device,
        **_device_columns(row),
        "protocol": row.protocol,
        "emulated": row.emulated,
        "clock_rung": row.clock_rung,
        "status": row.status,
        "result": row.result,
        "evidence": row.evidence,
        "parameters": manifest.get("parameters"),
        "multiply_adds": manifest.get("multiply_adds"),
        "contract": manifest.get("contract"),
        "weights": manifest.get("weights"),
        **accuracy_columns(row),
        **dict(zip(PUBLISHED_ACCURACY, row.published_accuracy or (None, None, None), strict=True)),
        "latency_ms_measured": summary.get("median"),
        "latency_centre": summary.get("centre", "median") if summary else None,
        "interval_low_ms": interval.get("low"),
        "interval_high_ms": interval.get("high"),
        "interval_confidence": interval.get("confidence"),
        "p90_ms": summary.get("p90"),
        "p90_upper_ms": summary.get("p90_upper"),
        "load_ms": summary.get("load"),
        "first_ms": summary.get("first"),
        "sessions": summary.get("sessions"),
        "iterations": summary.get("iterations"),
        **{_column(phone): row.paper[phone].latency_ms if phone in row.paper else None for phone in PHONES},
        "size_bytes": manifest.get("size_bytes"),
        "parity_kind": result.get("kind"),
        "parity_max_absolute": result.get("max_absolute"),
        "parity_snr_db": result.get("snr_db"),
        "parity_top1_agreement": result.get("top1_agreement"),
        "artifact_sha256": manifest.get("sha256"),
        "failure": row.failure.failure.message if row.failure else None,
    }


def _device_columns(row: Row) -> dict[str, Any]:
    conditions = row.conditions or {}
    return {
        "device_id": row.device_id,
        "device_model": conditions.get("model"),
        "os_build": conditions.get("os_build"),
        "measured_at": row.measured_at.isoformat() if row.measured_at else None,
    }


def _millions(row: Row, key: str, digits: int) -> str:
    return f"{row.manifest[key] / 1e6:.{digits}f}" if row.manifest else DASH


def _megabytes(row: Row) -> str:
    return f"{row.manifest['size_bytes'] / 1e6:.1f}" if row.manifest else DASH


def _published_accuracy(row: Row) -> str:
    """Return what is published, a range where sources disagree; the metric where it is not top-1."""
    if not row.published_accuracy:
        return DASH
    low, high, metric = row.published_accuracy
    values = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    return values if metric == "top-1 %" else f"{values} {metric.removesuffix(' %')}"


def _paper(row: Row, phone: str) -> str:
    return f"{row.paper[phone].latency_ms:g}" if phone in row.paper else DASH


def _column(phone: str) -> str:
    return f"{phone.lower().replace(' ', '')}_ms_published"
