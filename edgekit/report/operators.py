"""Tables of operator times: by type, one by one, and by PyTorch module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from edgekit.measure.modules import by_module
from edgekit.measure.operators import OperatorsDocument, OperatorTime

ELSEWHERE = "(in no operator)"
UNKNOWN = "(unknown)"
NETWORK = "(the network)"


def type_table(document: OperatorsDocument) -> Table:
    """Return the types of operators, the slowest first: those of the graph, then those inside delegates."""
    table = _table("operator", "nodes")
    graph, inside = _parts(document)
    for part, found in enumerate((graph, inside)):
        types: dict[str, list[float]] = defaultdict(list)
        for operator in found:
            types[operator.operator].append(operator.mean_ms)
        for kind, times in sorted(types.items(), key=lambda item: -sum(item[1])):
            _add(table, document, kind, str(len(times)), ms=sum(times))
        if part == 0:
            _between(table, document, bool(inside))
    return table


def operator_table(document: OperatorsDocument) -> Table:
    """Return every operator in order of execution; with its module, if the modules are known."""
    if document.modules:
        table = _table("operator", "module", more=("in delegate",))
        for operator in document.operators:
            if not operator.is_delegate:
                held = "" if operator.off_delegate else "yes"
                _add(table, document, operator.operator, _named(operator.module), ms=operator.mean_ms, more=(held,))
        return table
    table = _table("operator", "name")
    graph, inside = _parts(document)
    for operator in graph:
        _add(table, document, operator.operator, operator.name, ms=operator.mean_ms)
    _between(table, document, bool(inside))
    for operator in inside:
        _add(table, document, operator.operator, operator.name, ms=operator.mean_ms)
    return table


def module_table(document: OperatorsDocument, depth: int | None) -> Table:
    """Return the modules in order of execution, summed by the first `depth` parts of their names."""
    table = _table("module", "operators", more=("off delegate",))
    for total in by_module(document.operators, depth):
        outside = f"{total.off_delegate_ms / document.mean_ms:.1%}" if total.off_delegate_ms else ""
        _add(table, document, _named(total.module), str(total.operators), ms=total.mean_ms, more=(outside,))
    return table


def _parts(document: OperatorsDocument) -> tuple[Sequence[OperatorTime], Sequence[OperatorTime]]:
    inside = [operator for operator in document.operators if operator.inside]
    return [operator for operator in document.operators if not operator.inside], inside


def _named(module: str | None) -> str:
    return UNKNOWN if module is None else module or NETWORK


def _table(*columns: str, more: Sequence[str] = ()) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in {"nodes", "operators"} else "left")
    for column in ("ms", "share", *more):
        table.add_column(column, justify="right")
    return table


def _add(table: Table, document: OperatorsDocument, *texts: str, ms: float, more: Sequence[str] = ()) -> None:
    # The names are in brackets, which rich would interpret.
    table.add_row(*map(escape, texts), f"{ms:.4f}", f"{ms / document.mean_ms:.1%}", *more)


def _between(table: Table, document: OperatorsDocument, inside: bool) -> None:
    """Add what was spent in no operator, and what begins the operators inside delegates."""
    nodes = any(operator.is_delegate for operator in document.operators)
    if document.profiler == "ExecuTorch" or (inside and not nodes):  # the total of LiteRT's CSV is the sum of its nodes
        _add(table, document, ELSEWHERE, "", ms=document.elsewhere_ms)
    if inside:
        table.add_section()
        table.add_row("inside delegates:", "", "", "")
