"""Storage of a session's samples: 64-bit integers, sorted by byte position, compressed by zlib.

A sample of 20 ms is eight bytes. The upper five are the same in all samples. All first bytes are stored first, then all
second bytes, and so on, so zlib compresses the equal bytes well. Measured: benchmarks/ledger_scale.md.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Sequence
from statistics import median
from typing import Any

from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

WIDTH = 8  # bytes of a sample
LEVEL = 1  # of zlib: higher ones take longer and save almost nothing, because the low bytes are noise
NANOSECONDS = 1e6  # per millisecond


def pack(samples: Sequence[int]) -> bytes:
    """Return integers (nanoseconds, at most 63 bits) as bytes; OverflowError or TypeError if one is none."""
    numbers = array("q", samples)
    if sys.byteorder == "big":
        numbers.byteswap()
    plain = numbers.tobytes()
    return zlib.compress(b"".join(plain[rank::WIDTH] for rank in range(WIDTH)), LEVEL)


def unpack(packed: bytes) -> list[int]:
    """Return the samples that :func:`pack` packed; ValueError for other bytes."""
    try:
        ranked = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"samples are not compressed as edgekit does: {error}") from error
    count, rest = divmod(len(ranked), WIDTH)
    if rest:
        raise ValueError(f"samples are {len(ranked)} bytes, which is not a multiple of {WIDTH}")
    plain = bytearray(len(ranked))
    for rank in range(WIDTH):
        plain[rank::WIDTH] = ranked[rank * count : (rank + 1) * count]
    numbers = array("q", bytes(plain))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def centre_ns(samples: Sequence[int], environment: dict[str, Any]) -> float | None:
    """Return a session's median in nanoseconds, else the reported median, else the reported mean.

    None if there is neither. The same as :func:`edgekit.measure.statistics.session_centre`, without NumPy.
    """
    if own := environment.get("told"):
        value = own["mean"] if own.get("median") is None else own["median"]
        return float(value * NANOSECONDS)
    return float(median(samples)) if samples else None


class Samples(TypeDecorator[list[int]]):
    """A list of integers in nanoseconds, stored as :func:`pack` says; the list comes back with the same values."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: list[int] | None, dialect: Dialect) -> bytes | None:
        """Turn samples into bytes."""
        return None if value is None else pack(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[int] | None:
        """Turn bytes into samples."""
        return None if value is None else unpack(value)
