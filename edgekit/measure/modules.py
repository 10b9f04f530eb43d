"""Which PyTorch modules the operators of a profile come from: two lists of operators, aligned in order of execution.

A runtime renames, fuses and adds operators, but keeps their order. Operators of a kind are matched with nodes of that kind,
so that as much as possible matches (Needleman and Wunsch, 1970: global alignment). Layers with weights count most: runtimes
neither fuse nor drop them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.build.jobs import GraphNode
from edgekit.measure.operators import ModuleTime, OperatorsDocument, OperatorTime

KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("layer", r"conv(?!ert)|fully.?connected|linear|addmm|matmul|batch.?matrix|^bmm$"),
        ("pool", r"pool|mean|^sum|reduce"),
        ("multiply", r"^mul"),
        ("add", r"^(add|sub|div)"),
        ("activation", r"hard.?swish|relu|clamp|sigmoid|logistic|hard.?tanh|tanh|elu|silu|unary"),
        ("pad", r"pad"),
        ("resize", r"resize|upsample|interpolate"),
        ("softmax", r"softmax"),
        ("join", r"concat|^cat$|copy"),
        ("convert", r"convert|quantize|dim_order"),
        ("move", r"transpose|permute|reshape|view|flatten"),
    )
)
"""Kinds of operators in the words of XNNPACK, TFLite and ATen. The first that fits counts."""
WEIGHT = {"layer": 8}
SAME_NODE = 64
"""What the runtime's own index of a node weighs: more than a whole network of other matches could outweigh locally."""


def attributed(document: OperatorsDocument, nodes: Sequence[GraphNode]) -> OperatorsDocument:
    """Return a profile with the modules of its operators, and their sums."""
    operators = with_modules(document.operators, nodes)
    return document.model_copy(update={"operators": operators, "modules": by_module(operators)})


def by_module(operators: Sequence[OperatorTime], depth: int | None = None) -> list[ModuleTime]:
    """Return the times of modules, in the order in which they first run. A delegate's node counts by what is inside it.

    With `depth`, modules are summed by the first `depth` parts of their names.
    """
    sums: dict[str | None, ModuleTime] = {}
    for operator in operators:
        if operator.is_delegate:
            continue
        name = operator.module if operator.module is None else ".".join(operator.module.split(".")[:depth])
        total = sums.setdefault(name, ModuleTime(module=name, operators=0, mean_ms=0, off_delegate_ms=0))
        total.operators += 1
        total.mean_ms += operator.mean_ms
        total.off_delegate_ms += operator.mean_ms if operator.off_delegate else 0
    return list(sums.values())


def with_modules(operators: Sequence[OperatorTime], nodes: Sequence[GraphNode]) -> list[OperatorTime]:
    """Return the operators with their modules. A delegate's node of the graph has none.

    An operator that matches no node lies in the module that its matched neighbours share.
    """
    run = [index for index, operator in enumerate(operators) if not operator.is_delegate]
    places = _aligned([operators[index] for index in run], nodes)
    modules = _filled([nodes[place].module if place is not None else None for place in places])
    found = dict(zip(run, modules, strict=True))
    return [operator.model_copy(update={"module": found.get(index)}) for index, operator in enumerate(operators)]


def _kind(operator: str) -> str:
    """Return the kind of an operator; of an unknown one its name in small letters, without an overload's name."""
    for kind, pattern in KINDS:
        if pattern.search(operator):
            return kind
    return re.sub(r"[^a-z]", "", operator.partition(".")[0].lower())


def _aligned(operators: Sequence[OperatorTime], nodes: Sequence[GraphNode]) -> list[int | None]:
    """Return for each operator the place of its node, rising; None where none fits."""
    kinds, wanted = [_kind(operator.operator) for operator in operators], [_kind(node.operator) for node in nodes]

    def gain(row: int, column: int) -> int:
        if operators[row].node is not None:
            return SAME_NODE if operators[row].node == column else 0
        return WEIGHT.get(kinds[row], 1) if kinds[row] == wanted[column] else 0

    rows, columns = len(operators), len(nodes)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            matched = gain(row, column)
            taken = best[row + 1][column + 1] + matched if matched else 0
            best[row][column] = max(best[row + 1][column], best[row][column + 1], taken)
    places: list[int | None] = [None] * rows
    row = column = 0
    while row < rows and column < columns:
        matched = gain(row, column)
        if matched and best[row][column] == best[row + 1][column + 1] + matched:
            places[row] = column
            row, column = row + 1, column + 1
        elif best[row][column] == best[row][column + 1]:
            column += 1
        else:
            row += 1
    return places


def _filled(modules: Sequence[str | None]) -> list[str | None]:
    """Return the modules with each gap filled by what its neighbours share; None if one side has no neighbour."""
    filled = list(modules)
    for index, module in enumerate(modules):
        if module is None:
            before = next((name for name in reversed(modules[:index]) if name is not None), None)
            after = next((name for name in modules[index + 1 :] if name is not None), None)
            if before is not None and after is not None:
                filled[index] = _shared(before, after)
    return filled


def _shared(first: str, second: str) -> str:
    shared = []
    for left, right in zip(first.split("."), second.split("."), strict=False):
        if left != right:
            break
        shared.append(left)
    return ".".join(shared)
