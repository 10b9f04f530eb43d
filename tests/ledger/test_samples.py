"""Samples are stored in few bytes and come back as they were."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.ledger.samples import centre_ns, pack, unpack
from edgekit.measure.statistics import NANOSECONDS, ReportedStats, session_centre

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64))
def test_samples_come_back_as_they_were(samples):
    assert unpack(pack(samples)) == samples


def test_the_format_is_little_endian_by_rank_of_bytes():
    """A ledger goes from one computer to another, of either byte order."""
    assert zlib.decompress(pack([1, 256 + 2])) == bytes([1, 2, 0, 1]) + bytes(12)


def test_realistic_samples_take_few_bytes():
    samples = (20_000_000 * np.random.default_rng(0).lognormal(0, 0.02, 1000)).astype(int).tolist()
    assert len(pack(samples)) < 3 * len(samples)


@pytest.mark.parametrize("bad", [[2**63], [1.5], ["1"]])
def test_what_is_no_sample_is_refused(bad):
    with pytest.raises((OverflowError, TypeError)):
        pack(bad)


@pytest.mark.parametrize("bad", [b"[1, 2, 3]", zlib.compress(b"12345")])
def test_bytes_that_are_no_samples_are_refused(bad):
    with pytest.raises(ValueError, match="samples are"):
        unpack(bad)


@given(st.lists(st.integers(1, 10**12), min_size=1))
def test_the_centre_of_samples_is_that_of_the_statistics(samples):
    assert centre_ns(samples, {}) == pytest.approx(session_centre(samples, None) * NANOSECONDS, rel=1e-12)


@pytest.mark.parametrize("middle", [None, 3.25])
def test_the_centre_of_a_program_that_gives_no_samples_is_its_own(middle):
    own = ReportedStats(runs=7, mean=3.5, median=middle)
    expected = session_centre([], own) * NANOSECONDS
    assert centre_ns([], {"told": own.model_dump()}) == expected == {None: 3.5e6}.get(middle, 3.25e6)


def test_without_any_figure_there_is_no_centre():
    assert centre_ns([], {}) is None
