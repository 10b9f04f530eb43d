"""Which of edgekit's runners a command starts."""

import pytest

from edgekit.measure.own_runner import OwnRunner
from edgekit.runners import COREML_RUNNER, PYTHON_RUNNER


@pytest.mark.parametrize(
    ("command", "native"),
    [
        (("python3", "-P", str(PYTHON_RUNNER)), False),
        (("python3", f"/root/edgekit-device/files/0123456789abcdef-{PYTHON_RUNNER.name}"), False),
        (("python3", f"/root/edgekit-device/files/0123456789abcdef-{COREML_RUNNER.name}", "--units", "all"), False),
        (("/files/lib/ld.so", "--library-path", "/files/lib", "/files/bin/litert_runner"), True),
    ],
)
def test_a_script_is_no_native_runner_wherever_it_lies(command, native):
    assert OwnRunner(command).is_native == native
