"""The operator that a converter rejected, and its line in the model's code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgekit.architectures.inputs import Inputs
from edgekit.architectures.own import is_users_file
from edgekit.errors import EdgekitError, FailureKind
from edgekit.target import Target

if TYPE_CHECKING:
    from torch import nn

FRAME = re.compile(r'File "([^"]+)", line (\d+)(?:, in \S+)?\s*([^\n]*)')
OPERATOR = re.compile(r"(?:aten|torch\.ops\.aten)(?:\.|::)(\w+)")
LONGEST = 200
"""Characters of the converter's own words in a message."""
DATA_DEPENDENT = ("GuardOnDataDependentSymNode", "data-dependent")


def explained(model: nn.Module, inputs: Inputs, target: Target, error: Exception) -> EdgekitError:
    """Return a converter's error as a failure that names the operator and the line of the model's code.

    If neither can be found the failure is ``compilation`` with the converter's words.
    """
    said = str(error)
    words = _short(f"{type(error).__name__}: {' '.join(said.split())}")
    if any(sign in said for sign in DATA_DEPENDENT):
        place = _place_in(said) or _place_of_export(model, inputs)
        message = (
            f"The model decides by the values of its tensors{place}, which {target.backend} cannot convert: {words}"
        )
        hint = "Replace the `if` by torch.where, or move it out of the model."
        return EdgekitError(FailureKind.unsupported_operator, "compile", message, hint)
    found = _operator(model, inputs, said)
    if found is None:
        place = _place_in(said)
        return EdgekitError(FailureKind.compilation, "compile", f"{words}{place}")
    name, place = found
    message = f"{target.backend} cannot convert the operator {name}{place}: {words}"
    return EdgekitError(FailureKind.unsupported_operator, "compile", message, "Replace it by operators that it knows.")


def _short(text: str) -> str:
    """Return the beginning of a converter's words, as a whole sentence for a message."""
    return f"{text[:LONGEST]} ..." if len(text) > LONGEST else f"{text.rstrip('.')}."


def _operator(model: nn.Module, inputs: Inputs, said: str) -> tuple[str, str] | None:
    """Return the name of the operator that an error is about, and its origin. None if the model does not have it."""
    nodes = _nodes(model, inputs)
    named = [match[1] for match in OPERATOR.finditer(said)]
    for node in nodes:
        name = node.target.__name__.partition(".")[0]
        if name in named or re.search(rf"%?\b{re.escape(node.name)}\b", said):
            return name, _place_in(node.meta.get("stack_trace") or "")
    return None


def _nodes(model: nn.Module, inputs: Inputs) -> list[Any]:
    """Return the operators of the model's graph; none if it cannot be exported."""
    import torch

    try:
        graph = torch.export.export(model, inputs[:1].tensors()).graph
    except Exception:  # noqa: BLE001  (the converter's own error is the one that is shown)
        return []
    return [node for node in graph.nodes if node.op == "call_function" and hasattr(node.target, "_overloadname")]


def _place_of_export(model: nn.Module, inputs: Inputs) -> str:
    """Return where an export of the model stops: the last line of its own code."""
    import traceback

    import torch

    try:
        torch.export.export(model, inputs[:1].tensors())
    except Exception as error:  # noqa: BLE001  (only its place is asked for)
        return _place_in("".join(traceback.format_exception(error)))
    return ""


def _place_in(text: str) -> str:
    """Return `` (file:line: code)`` of the last line of code in a traceback that is in no installed package; or nothing."""
    frames = [frame for frame in FRAME.findall(text) if is_users_file(frame[0])]
    if not frames:
        return ""
    file, line, code = frames[-1]
    return f" ({file}:{line}: {code.strip()})" if code.strip() else f" ({file}:{line})"
