"""What is timed end to end: from a camera's frame in memory to the outputs in memory. Decoding and drawing are not in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.build.frame import expected_input, frame_plan, write_frame
from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Frame, Subject
from edgekit.pipeline.building import Ready

ONE_LEVEL = 1 / 255
"""A runner's pixel may differ from Pillow's by one level of 255, where both round."""


def with_frame(device: Device, subject: Subject, ready: Ready, folder: Path) -> Subject:
    """Bring the frame to the device, and return the subject with it.

    EdgekitError (``unsupported_target``) if what times it is not one of edgekit's native runners, which alone preprocess.
    UsageError if the network does not take photos.
    """
    where, program = f"{subject.name} on {device.profile.name}", subject.program
    if not isinstance(program, OwnRunner) or not program.is_native:
        message = f"{where} cannot be timed end to end: only edgekit's native runners preprocess frames."
        hint = "Choose them if the device can have them: --device-option runner=native"
        raise EdgekitError(FailureKind.unsupported_target, "push", message, hint)
    file = folder / "frame.rgb"
    write_frame(file)
    plan = frame_plan(*ready.plan.recipe.photos, ready.artifact.manifest.inputs[0].layout)
    frame = Frame(device.push(file), plan, f"{subject.output}.preprocessed")
    return replace(subject, frame=frame)


def compare_frame(device: Device, subject: Subject, ready: Ready, folder: Path) -> None:
    """Compare what the frame became on the device with Pillow's result; nothing to do if no frame is timed.

    EdgekitError (``parity``) if any value differs by more than one level of a pixel.
    """
    if subject.frame is None:
        return
    photos = ready.plan.recipe.photos
    device.pull(subject.frame.preprocessed, folder / "preprocessed.bin")
    found = np.fromfile(folder / "preprocessed.bin", dtype=np.float32)
    expected = expected_input(*photos, ready.artifact.manifest.inputs[0].layout)
    allowed = 1.001 * ONE_LEVEL / min(photos[0].std)
    apart = float(np.abs(found - expected).max()) if found.size == expected.size else float("inf")
    if not apart <= allowed:
        message = (
            f"{subject.name} on {device.profile.name}: the frame became another input than Pillow makes of it: a value "
            f"differs by {apart:.3g}, more than {allowed:.3g}."
        )
        raise EdgekitError(FailureKind.parity, "measure", message, "Report this: it is a fault of edgekit's runner.")
