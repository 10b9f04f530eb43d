"""What is found out beside the timing, if the device is lost after its last session: nothing, and without a wait."""

from types import SimpleNamespace

import pytest

from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Subject
from edgekit.pipeline.extra_passes import extra_passes
from edgekit.protocol import PROTOCOLS

SUBJECT = Subject("tflite/xnnpack/fp32", OwnRunner(("runner",)), "model", "input", "output")
GONE = "phone does not answer."


def passes(tmp_path, protocol, limit):
    ready = SimpleNamespace(plan=SimpleNamespace(recipe=SimpleNamespace(max_fallback_share=limit)))
    device = object()  # whatever is called fails
    return extra_passes(device, SUBJECT, ready, PROTOCOLS[protocol], True, tmp_path, GONE)


def test_of_a_lost_device_the_conditions_are_unknown(tmp_path):
    assert passes(tmp_path, "1t-big", None) == {"memory": {"unknown": GONE}}
    assert passes(tmp_path, "publication", None) == {"memory": {"unknown": GONE}, "cold_load": {"unknown": GONE}}


def test_a_limit_that_a_lost_device_leaves_open_is_a_failure_that_can_be_retried(tmp_path):
    with pytest.raises(EdgekitError, match="does not answer") as raised:
        passes(tmp_path, "1t-big", 0.05)
    assert (raised.value.failure.kind, raised.value.failure.retriable) == (FailureKind.link_lost, True)
