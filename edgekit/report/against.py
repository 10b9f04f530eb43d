"""A published table beside what was measured: the ratio of each latency, conflicts between sources, and the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekit.published import Figure, our_precision
from edgekit.published.paper_tables import PaperTable
from edgekit.report.cells import latency
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.conflicts import conflicts, network_name, other_sources
from edgekit.report.notes import notes
from edgekit.report.numbers import number, spread
from edgekit.report.order import Order, Timed, compare_order
from edgekit.report.rows import Row
from edgekit.report.sheet import Note, Report, Section

NAMED_AT_MOST = 10
NOT_MEASURED = "not measured"
Rows = Mapping[tuple[str, ...], Sequence[Row]]


@dataclass(frozen=True)
class Check:
    """A published latency, and a row of the ledger for the same network and precision; None if there is none.

    `others` are the latencies that other sources print for the same, in ms.
    """

    figure: Figure
    row: Row | None
    others: Sequence[float] = ()

    @property
    def latency_ms(self) -> float:
        """The published latency."""
        assert self.figure.latency_ms
        return self.figure.latency_ms

    @property
    def ratios(self) -> tuple[float, float, float] | None:
        """Measured / published, and the ends of its interval: those of the measured one, since none is published."""
        if self.row is None or not self.row.summary:
            return None
        interval = self.row.summary["interval"]
        median, low, high = self.row.summary["median"], interval["low"], interval["high"]
        return median / self.latency_ms, low / self.latency_ms, high / self.latency_ms

    @property
    def device_class(self) -> str | None:
        """Whether the device is of the published model, and what else is known to differ."""
        if self.row is None or not self.row.conditions:
            return None
        found = self.row.conditions
        model = "same model" if found.get("published_as") == self.figure.device else "other device"
        threads = found.get("threads")
        return (
            model
            if threads == self.figure.threads
            else f"{model}, {threads or 'unknown'} of {self.figure.threads} threads"
        )


@dataclass(frozen=True)
class OrderCheck:
    """The order of the networks that were measured in one way, against one published column."""

    figure: Figure
    row: Row
    order: Order
    ratios: Sequence[float]


def against_report(rows: Sequence[Row], table: PaperTable, keys: Sequence[str] = ()) -> Report:
    """Return the table's latencies, each with what the ledger holds for it, and the orders that follow."""
    known = _by_network(rows)
    others = other_sources(table)
    ordered = sorted(table.figures, key=lambda figure: (figure.device, figure.precision, figure.latency_ms or 0))
    checks = [check for figure in ordered for check in _checks(figure, known, others.get(figure, ()))]
    orders = _orders(checks)
    used = list({id(check.row): check.row for check in checks if check.row}.values())
    devices = dict.fromkeys(check.figure.device for check in checks)
    sections: list[Section[Any]] = [
        Section(CHECKS, [check for check in checks if check.figure.device == device], f"{device} as published")
        for device in devices
    ]
    below = [*_legend(checks), *_differences(orders), *conflicts(table), *_of_rows(used)]
    return Report([*sections, Section(ORDERS, orders, "Order")], below, f"Against the {table.title}", keys=keys)


def _by_network(rows: Sequence[Row]) -> Rows:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if network := row.network:
            found.setdefault(
                (network.model, network.variant, network.head, network.resolution, network.precision), []
            ).append(row)
    return found


def _checks(figure: Figure, known: Rows, others: Sequence[float]) -> list[Check]:
    """Return a check for each measured row of a figure's network, else one that says why there is none."""
    precision = our_precision(figure)
    key = (figure.model, figure.variant, figure.head, figure.resolution, precision or "")
    own = [
        row
        for row in known.get(key, ())
        if (network := row.network) is not None and figure.width in {None, network.width}
    ]
    measured = [row for row in own if row.summary]
    failed = next((row for row in own if row.failure), None)
    return [Check(figure, row, others) for row in measured] or [Check(figure, failed, others)]


def _orders(checks: Sequence[Check]) -> list[OrderCheck]:
    groups: dict[tuple[str | None, ...], list[Check]] = {}
    for check in checks:
        if check.row is not None and check.row.summary:
            same = (check.figure.device, check.figure.precision, check.row.runtime, *check.row.setup)
            groups.setdefault(same, []).append(check)
    return [_order(own) for own in groups.values() if len(own) > 1]


def _order(checks: Sequence[Check]) -> OrderCheck:
    first = checks[0]
    assert first.row
    networks = [
        Timed(network_name(check.figure), check.latency_ms, *(ratio * check.latency_ms for ratio in check.ratios))
        for check in checks
        if check.ratios
    ]
    return OrderCheck(
        first.figure, first.row, compare_order(networks), [check.ratios[0] for check in checks if check.ratios]
    )


def _latency(check: Check) -> str | None:
    """Return the measured latency, or why there is none."""
    if check.row is None:
        return NOT_MEASURED
    return latency(check.row) or check.row.result


def _others(check: Check) -> str | None:
    return spread(min(check.others), max(check.others), "") if check.others else None


def _tau(check: OrderCheck) -> str | None:
    if check.order.tau is None:
        return None
    interval = check.order.interval
    return f"{check.order.tau:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def _ratios(check: OrderCheck) -> str:
    low, high = min(check.ratios), max(check.ratios)
    return f"{number(low, 2)} to {number(high, 2)}"


def _end(check: OrderCheck, index: int) -> float | None:
    return check.order.interval[index] if check.order.interval else None


MEASURED: Column[Check] = BY_KEY["latency_ms_measured"].lifted(lambda check: check.row, rank=0)
PUBLISHED_DEVICE: Column[Check] = Column(
    "published_device", "Published for", lambda check: check.figure.device, shown=shown(), rank=0
)
CHECKS: tuple[Column[Check], ...] = (
    Column("network", "Network", lambda check: network_name(check.figure), shown=shown("always"), rank=0),
    PUBLISHED_DEVICE,
    Column("published_precision", "Precision", lambda check: check.figure.precision, shown=shown("varies"), rank=5),
    Column(
        "latency_ms_published",
        "Latency",
        lambda check: check.latency_ms,
        lambda check: f"{check.latency_ms:g}",
        unit="ms",
        kind="published",
        align="right",
        shown=shown("always"),
        rank=0,
    ),
    replace(MEASURED, text=_latency, shown=shown("always")),
    Column(
        "published_ratio",
        "Ratio",
        lambda check: check.ratios[0] if check.ratios else None,
        lambda check: number(check.ratios[0], 2) if check.ratios else None,
        align="right",
        shown=shown("present"),
        rank=0,
    ),
    Column("published_ratio_low", "Ratio, low", lambda check: check.ratios[1] if check.ratios else None, shown=shown()),
    Column(
        "published_ratio_high", "Ratio, high", lambda check: check.ratios[2] if check.ratios else None, shown=shown()
    ),
    BY_KEY["recipe"].lifted(lambda check: check.row, identity=False, shown=shown()),
    *(
        BY_KEY[key].lifted(lambda check: check.row, rank=2, identity=False, shown=shown("present"))
        for key in ("target", "device")
    ),
    BY_KEY["result"].of(
        lambda check: check.row.result if check.row else NOT_MEASURED, shown=shown("always", terminal=None)
    ),
    Column(
        "other_sources_low_ms",
        "Other sources",
        lambda check: min(check.others, default=None),
        _others,
        unit="ms",
        align="right",
        shown=shown("present"),
        rank=6,
    ),
    Column(
        "other_sources_high_ms", "Other sources, high", lambda check: max(check.others, default=None), shown=shown()
    ),
    Column("device_class", "Device class", lambda check: check.device_class, shown=shown("present"), rank=5),
    BY_KEY["accuracy_this_artifact"].lifted(lambda check: check.row, rank=7),
    *(
        BY_KEY[key].lifted(lambda check: check.row, shown=shown(), identity=False)
        for key in (
            "device_id",
            "os_build",
            "protocol",
            "runner",
            "clock_rung",
            "measured_at",
            "run",
            "artifact_sha256",
        )
    ),
)
"""The columns of the latencies."""
ORDERS: tuple[Column[OrderCheck], ...] = (
    PUBLISHED_DEVICE.of(lambda check: check.figure.device, shown=shown("always")),
    *(
        BY_KEY[key].lifted(lambda check: check.row, rank=2, identity=True, shown=shown("always"))
        for key in ("target", "device")
    ),
    *(
        BY_KEY[key].lifted(lambda check: check.row, rank=2, identity=True, shown=shown())
        for key in ("protocol", "runner", "threads", "clock_rung")
    ),
    Column("networks", "Networks", lambda check: check.order.networks, align="right", shown=shown("always"), rank=1),
    Column("kendall_tau", "Kendall's tau", lambda check: check.order.tau, _tau, shown=shown("always"), rank=0),
    Column("kendall_tau_low", "Tau, low", lambda check: _end(check, 0), shown=shown()),
    Column("kendall_tau_high", "Tau, high", lambda check: _end(check, 1), shown=shown()),
    Column(
        "pairs_same",
        "Same order",
        lambda check: check.order.same,
        unit="pairs",
        align="right",
        shown=shown("always"),
        rank=3,
    ),
    Column(
        "pairs_other",
        "Other order",
        lambda check: len(check.order.other),
        unit="pairs",
        align="right",
        shown=shown("always"),
        rank=3,
    ),
    Column(
        "pairs_undecided",
        "Undecided",
        lambda check: check.order.undecided,
        unit="pairs",
        align="right",
        shown=shown("always"),
        rank=3,
    ),
    Column(
        "published_ratio_range", "Ratios", _ratios, _ratios, kind="measured / published", shown=shown("always"), rank=3
    ),
)
"""The columns of the orders."""


def _legend(checks: Sequence[Check]) -> list[Note]:
    measured = len({network_name(check.figure) for check in checks if check.ratios})
    every = len({network_name(check.figure) for check in checks})
    found = [f"{measured} of the table's {every} networks were measured."]
    if measured:
        found += [
            "Ratio: measured / published. The sources print no interval; CSV and JSON have that of the measured latency.",
            "Device class: same model is a device of the published model, with another OS build and runtime.",
        ]
    if measured > 1:
        found.append(
            "Kendall's tau: 1 is the published order, -1 its reverse; 95 % interval from a bootstrap over the networks, "
            "for 5 or more that do not all agree. Pairs: decided if the two measured intervals do not overlap."
        )
    return [Note(text) for text in found]


def _differences(checks: Sequence[OrderCheck]) -> list[Note]:
    """Return the pairs whose measured order is decided and not the published one."""
    found = []
    for check in checks:
        pairs = [
            f"{slower.name} ({number(slower.measured, 2)} ms, published {slower.published:g}) before "
            f"{faster.name} ({number(faster.measured, 2)} ms, published {faster.published:g})"
            for faster, slower in check.order.other[:NAMED_AT_MOST]
        ]
        more = len(check.order.other) - NAMED_AT_MOST
        if pairs:
            where = f"{check.row.target} on {check.row.device_label}, published for {check.figure.device}"
            found.append(
                Note(f"Other order, {where}: {'; '.join(pairs)}" + (f"; {more} more pairs." if more > 0 else "."))
            )
    return found


def _of_rows(rows: Sequence[Row]) -> list[Note]:
    """Return the notes on the measured rows that concern their latencies."""
    about = {"latency_ms_measured", "result", "accuracy_this_artifact"}
    return [note for note in notes(rows) if note.about & about and not note.long]
