"""Quantities need a unit."""

import pytest

from edgekit.errors import UsageError
from edgekit.selection.units import format_bytes, parse_bytes, parse_milliseconds, significant


@pytest.mark.parametrize(
    ("text", "value"), [("20ms", 20), ("0.02s", 20), (" 20 MS ", 20), ("500us", 0.5), (".5ms", 0.5)]
)
def test_times(text, value):
    assert parse_milliseconds(text, "--max-latency") == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"), [("6MB", 6_000_000), ("800kB", 800_000), ("1KiB", 1024), ("1.5mb", 1_500_000)]
)
def test_sizes(text, value):
    assert parse_bytes(text, "--max-size") == value


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("20", "has no unit", "Write 20ms if you mean ms"),
        ("20MB", "has an unknown unit", "us, ms, s"),
        ("fast", "is not a time", "20ms"),
        ("-5ms", "is not a time", "20ms"),
        ("1e3ms", "is not a time", "20ms"),
        ("0ms", "must be more than zero", "20ms"),
    ],
)
def test_what_is_no_time_says_what_to_write(text, message, hint):
    with pytest.raises(UsageError, match=message) as raised:
        parse_milliseconds(text, "--max-latency")
    assert raised.value.failure.message.startswith(f"--max-latency {text!r}")
    assert hint in raised.value.failure.hint


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0912, "0.0912"),
        (19.44, "19.4"),
        (1240.4, "1240"),
        (9.999, "10.0"),
        (99.96, "100"),
        (0.09999, "0.100"),
        (100.2, "100"),
        (0, "0"),
    ],
)
def test_three_significant_digits(value, text):
    assert significant(value) == text


def test_sizes_for_people():
    assert [format_bytes(size) for size in (999, 1500, 6_210_000, 2e9)] == ["999 B", "1.50 kB", "6.21 MB", "2.00 GB"]
