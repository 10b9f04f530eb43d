"""Clocks that an account may hold are held while a device is prepared, and released as they were."""

import os

import pytest
from lab.scenario import PIXEL_3_CPUS, Cluster, Scenario

from edgekit.devices.base import opened

CPUS = (Cluster(tuple(sorted(os.sched_getaffinity(0))), 1_800_000),)


@pytest.fixture(params=["phone", "board"])
def device(request, make_android, make_board):
    return make_android(Scenario(cpus=PIXEL_3_CPUS)) if request.param == "phone" else make_board(cpus=CPUS)


def governor_files(device):
    return sorted(device.folder.glob("cpus/cpu*/cpufreq/scaling_governor"))


def allow(device):
    for file in governor_files(device):
        file.chmod(0o666)


def held(device):
    return {file.read_text().strip() for file in governor_files(device)}


def test_an_account_that_may_write_governors_holds_the_clocks_and_releases_them(device, profile_of):
    allow(device)
    with opened(profile_of(device)) as there:
        there.prepare()
        assert held(device) == {"performance"}
        assert there.state()["clock_rung"] == "fixed"
    assert held(device) == {"schedutil"}


def test_a_killed_edgekit_leaves_the_device_a_way_back(device, profile_of):
    allow(device)
    there = profile_of(device)
    with opened(there) as first:
        first.prepare()
        first.preparation.prepared = False  # what a killed edgekit does at its end: nothing
    assert held(device) == {"performance"}
    with opened(there) as second:
        assert second.restore()
    assert held(device) == {"schedutil"}


def test_an_account_that_may_not_changes_nothing_and_the_rung_says_so(device, profile_of):
    with opened(profile_of(device)) as there:
        there.prepare()
        assert held(device) == {"schedutil"}
        assert there.state()["clock_rung"] in {"free-running", "fixed-performance"}
        assert there.preparation.refused == []
