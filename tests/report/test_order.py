import pytest

from edgekit.report.order import Timed, compare_order


def timed(*latencies, spread=0.01):
    return [
        Timed(f"n{index}", float(published), measured, measured * (1 - spread), measured * (1 + spread))
        for index, (published, measured) in enumerate(latencies)
    ]


def test_the_same_order_is_1_and_its_reverse_minus_1():
    same, reverse = timed((1, 10), (2, 20), (3, 30)), timed((1, 30), (2, 20), (3, 10))
    assert compare_order(same).tau == pytest.approx(1)
    assert (compare_order(same).same, compare_order(same).other) == (3, [])
    assert compare_order(reverse).tau == pytest.approx(-1)
    assert len(compare_order(reverse).other) == 3


def test_pairs_whose_intervals_overlap_are_undecided():
    order = compare_order(timed((1, 10), (2, 9.99), (3, 30)))
    assert (order.same, len(order.other), order.undecided) == (2, 0, 1)


def test_networks_that_are_published_alike_are_no_pair():
    order = compare_order(timed((1, 10), (1, 20), (3, 30)))
    assert (order.same, len(order.other), order.undecided) == (2, 0, 0)


def test_the_interval_needs_five_networks_and_holds_tau():
    assert compare_order(timed((1, 1), (2, 2), (3, 3), (4, 4))).interval is None
    order = compare_order(timed((1, 1), (2, 2), (3, 3), (4, 5), (5, 4), (6, 6), (7, 8), (8, 7)))
    low, high = order.interval
    assert -1 <= low < order.tau <= high <= 1
    assert order == compare_order(timed((1, 1), (2, 2), (3, 3), (4, 5), (5, 4), (6, 6), (7, 8), (8, 7)))


def test_one_network_has_no_order():
    assert compare_order(timed((1, 10))).tau is None


def test_an_order_that_agrees_entirely_has_no_interval():
    """Every resample of it agrees entirely too, so a bootstrap would show no width."""
    assert compare_order(timed(*((rank, rank) for rank in range(1, 8)))).interval is None
    assert compare_order(timed(*((rank, -rank + 10) for rank in range(1, 8)))).interval is None
