"""Whether multiply-adds order models as their latencies do."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.order import Timed, compare_order
from edgekit.report.page.document import Order, Point

LEAST_MODELS = 3
"""Two models are ordered alike or not, which says nothing."""


def orders_of(points: Sequence[Point]) -> list[Order]:
    """Return the agreement for each device and target that has enough models."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.device, point.target), []).append(point)
    orders = (_order(device, target, own) for (device, target), own in groups.items())
    return [order for order in orders if order]


def _order(device: str, target: str, points: Sequence[Point]) -> Order | None:
    timed = [
        Timed(point.title, point.multiply_adds, point.latency, point.low, point.high)
        for point in points
        if point.multiply_adds is not None
    ]
    if len(timed) < LEAST_MODELS:
        return None
    order = compare_order(timed, with_interval=False)
    if order.tau is None:
        return None
    return Order(
        device=device,
        target=target,
        models=len(timed),
        tau=order.tau,
        same=order.same,
        other=len(order.other),
        undecided=order.undecided,
    )
