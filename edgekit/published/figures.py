"""The tables of published figures as rows of one kind. The files are kept as they were collected, sources and notes included."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

Row = dict[str, str]

WITH_WIDTH = re.compile(r"(?P<model>.+) (?P<width>0\.\d+)")
DAGGER = " dagger"


@dataclass(frozen=True)
class Figure:
    """The figures of one source for one model: an accuracy, a latency, or both.

    `width` is None if the model has a single published width; `resolution` is as in ``224`` or ``1024x2048``. `metric` is
    ``top-1 %``, ``mAP`` or ``mIOU %``. `latency_ms` is of `device`: of a Pixel phone, `threads` on its CPU; one thread runs on
    a large core. Detection and segmentation were also timed on other processors, which `device` names.
    """

    model: str
    variant: str
    head: str
    width: float | None
    resolution: str
    precision: str
    metric: str
    accuracy: float | None
    device: str
    latency_ms: float | None
    table: str
    source: str
    threads: int = 1


@cache
def figures() -> tuple[Figure, ...]:
    """Return every published figure that can be compared with something that edgekit builds or measures."""
    return (*_latencies(), *_classifications(), *_detections(), *_segmentations())


@cache
def mismatches() -> tuple[Row, ...]:
    """Return the printed figures that are wrong or contradict each other: what, published, reference, kind, advice."""
    return tuple(_rows("mismatches"))


def _rows(name: str) -> Iterator[Row]:
    text = (files("edgekit.published") / f"{name}.csv").read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def _figure(row: Row, **columns: object) -> Figure:
    """Return the figure of a row whose columns have the names that most tables give them; `columns` are the exceptions."""
    common = Figure(
        model=row["model"],
        variant="",
        head=row.get("head", ""),
        width=_number(row.get("width", "")),
        resolution=row["resolution"],
        precision=row.get("precision", "float32"),
        metric="top-1 %",
        accuracy=_number(row.get("top1", "")),
        device=row.get("device", "").partition(",")[0],
        latency_ms=_number(row.get("latency_ms", "")),
        table=row["table"],
        source=row["source"],
    )
    return replace(common, **columns)  # type: ignore[arg-type]


@cache
def threaded_figures() -> tuple[Figure, ...]:
    """Return the latencies on several threads of a phone's CPU, which compare with nothing that one thread does."""
    return tuple(figure for figure in _cpu_latencies() if figure.threads > 1)


def _latencies() -> Iterator[Figure]:
    yield from (figure for figure in _cpu_latencies() if figure.threads == 1)


def _cpu_latencies() -> Iterator[Figure]:
    for row in _rows("pixel_latency"):
        known = row["threads"].isdigit() and row["resolution"] and row["latency_ms"]
        if known and row["processor"].startswith("CPU"):
            yield _figure(row, variant=row["variant"], threads=int(row["threads"]))


def _classifications() -> Iterator[Figure]:
    for row in _rows("classification"):
        if row["top1"] and row["resolution"]:
            variant = "minimalistic" if row["minimalistic"] == "yes" else ""
            weights = f" ({row['weights']})" if row["weights"] else ""
            yield _figure(row, variant=variant, source=row["source"] + weights)


def _of_width(model: str) -> tuple[str, float]:
    """Return the model and width of a name such as ``MobileNetV2 0.35``."""
    found = WITH_WIDTH.fullmatch(model)
    return (found["model"], float(found["width"])) if found else (model, 1.0)


def _detections() -> Iterator[Figure]:
    for row in _rows("detection"):
        if row["mAP"] and row["resolution"]:
            name, width = _of_width(row["model"].removesuffix(DAGGER))
            model = "MnasNet-A1" if name == "MnasNet" else name  # the papers' tables shorten it if they name a width
            variant = "reduced" if row["model"].endswith(DAGGER) else ""
            yield _figure(row, model=model, width=width, variant=variant, metric="mAP", accuracy=_number(row["mAP"]))


def _segmentations() -> Iterator[Figure]:
    """Yield a figure per resolution: accuracy at full resolution, latency at full and half."""
    for row in _rows("segmentation"):
        if not (row["mIOU"] and row["resolution"]):
            continue
        model, width = _of_width(row["model"].removesuffix("*"))
        parts = [
            "reduced" if row["rf2"] == "yes" else "",
            f"{row['head_filters']} filters" if row["head_filters"] else "",
            f"output stride {row['output_stride']}" if row["output_stride"] else "",
            {"yes": "ASPP", "no": "no ASPP"}.get(row["aspp"], ""),
            "multi-scale" if row["multi_scale_flip"] == "yes" else "",
        ]
        full = _figure(
            row,
            model=model,
            width=width,
            variant=", ".join(filter(None, parts)),
            metric="mIOU %",
            accuracy=_number(row["mIOU"]),
            latency_ms=_number(row["latency_full_ms"]),
        )
        yield full
        half = _number(row["latency_half_ms"])
        if half is not None:
            sides = [str(int(side) // 2) for side in row["resolution"].split("x")]
            yield replace(full, resolution="x".join(sides), accuracy=None, latency_ms=half)
