"""What is refused before anything is sent to a device."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit.errors import EdgekitError, FailureKind
from edgekit.pipeline.measuring import Timing, _subject
from edgekit.protocol import PROTOCOLS


def test_a_tool_that_cannot_be_pinned_is_not_timed_as_if_it_ran_on_little_cores():
    ready = SimpleNamespace(artifact=SimpleNamespace(manifest=SimpleNamespace(recipe="v2")))
    device = SimpleNamespace(profile=SimpleNamespace(name="phone"))
    timing = Timing(ready, "tflite/gpu/fp32", tool=object())
    with pytest.raises(EdgekitError, match="v2 tflite/gpu/fp32 on phone: edgekit cannot pin a tool") as raised:
        _subject(device, timing, PROTOCOLS["1t-little"], Path("nowhere"))
    assert raised.value.failure.kind is FailureKind.unsupported_target
