"""A target: which runtime, through which delegate, at which precision."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KNOWN_TARGETS = (
    "tflite/xnnpack/fp32",
    "tflite/xnnpack/int8",
    "executorch/xnnpack/fp32",
    "executorch/xnnpack/int8",
    "coreml/-/fp16",
)
"""The default targets of a recipe. Other targets are compiled if they are named, or if a device's profile has a tool for them."""


OTHER_TARGETS = ("onnx/-/fp32", "executorch/vulkan/fp32")
"""The other targets of the built-in backends. A part such as ``fp32`` stands for them only if no default target has it."""


def fits_target(target: str, name: str) -> bool:
    """Return whether a name is a whole target or parts of it: ``tflite``, ``int8``, ``tflite/xnnpack``."""
    return set(name.split("/")) <= set(target.split("/"))


def named_targets(names: Iterable[str], own: Sequence[str], others: Sequence[str] = KNOWN_TARGETS) -> list[str]:
    """Return the targets that `names` stand for, each once: whole targets, or parts such as ``int8``.

    A part stands for all of a recipe's `own` targets that have it, or else for all `others`. A whole target stands for
    itself, whether it is known or not. ValueError for a part that no target has.
    """
    found: list[str] = []
    for name in names:
        if name.count("/") == 2:
            found.append(name)
            continue
        choices = (own, others, OTHER_TARGETS)
        fitting = next((fits for among in choices if (fits := [one for one in among if fits_target(one, name)])), [])
        if not fitting:
            known = list(dict.fromkeys((*own, *others, *OTHER_TARGETS)))
            nearest = difflib.get_close_matches(name, {part for one in known for part in one.split("/")}, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}."
            raise ValueError(f"no target has {name!r}; {hint}")
        found += fitting
    return list(dict.fromkeys(found))


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
            nearest = difflib.get_close_matches(text, (*KNOWN_TARGETS, *OTHER_TARGETS), n=1, cutoff=0.3)
            raise ValueError(
                f"{text!r} is not a target. Write backend/delegate/precision, for example {(nearest or KNOWN_TARGETS)[0]}"
            )
        return Target(*parts)

    def __str__(self) -> str:
        return f"{self.backend}/{self.delegate}/{self.precision}"
