"""A target: which runtime, through which delegate, at which precision."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

KNOWN_TARGETS = (
    "tflite/xnnpack/fp32",
    "tflite/xnnpack/int8",
    "executorch/xnnpack/fp32",
    "executorch/xnnpack/int8",
    "coreml/-/fp16",
)
"""The targets of the built-in backends, and the default targets of a recipe."""


@dataclass(frozen=True, order=True)
class Target:
    """``backend/delegate/precision``; a delegate of ``-`` means that the runtime chooses."""

    backend: str
    delegate: str
    precision: str

    @staticmethod
    def parse(text: str) -> Target:
        """Read ``backend/delegate/precision``; ValueError, with the nearest known target, if the text is invalid."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            nearest = difflib.get_close_matches(text, KNOWN_TARGETS, n=1, cutoff=0.3)
            raise ValueError(
                f"{text!r} is not a target. Write backend/delegate/precision, for example {(nearest or KNOWN_TARGETS)[0]}"
            )
        return Target(*parts)

    def __str__(self) -> str:
        return f"{self.backend}/{self.delegate}/{self.precision}"
