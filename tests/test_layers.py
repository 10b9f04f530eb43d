"""No package imports from a higher floor, at the top of a module or inside a function."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    "redaction",
    "errors",
    "target",
    "plugins",
    "config",
    "protocol",
    "cache",
    "published",
    "runners",
    "architectures",
    "backends",
    "recipe",
    "weights",
    "build",
    "devices",
    "measure",
    "ledger",
    "pipeline",
    "evaluation",
    "inspection",
    "report",
    "exporting",
    "rented",
    "selection",
    "comparison",
    "report.page",
    "search",
    "schemas",
    "api",
    "cli",
    "__main__",
)
"""Parts of edgekit, the lowest first. A part imports from itself and from lower ones; the longest matching name counts."""
EVERYWHERE = {"edgekit"}
"""The package itself: its version, which every part may read."""
ENTRY_POINTS = {("report", "api")}
"""Type annotations of the public `edgekit.report.table`, which takes the public Ledger: no import when the code runs."""


def floor_of(module):
    parts = module.removeprefix("edgekit.").split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in FLOORS), None)


def imports(path):
    """Return (line, module) of everything that a file imports from edgekit."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "edgekit":
            for alias in node.names:
                inside = ROOT / node.module.replace(".", "/") / alias.name
                is_module = inside.is_dir() or inside.with_suffix(".py").is_file()
                yield node.lineno, f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "edgekit")


def wrong_imports(path, module):
    own = floor_of(module)
    for line, imported in imports(path):
        if imported in EVERYWHERE:
            continue
        theirs = floor_of(imported)
        if FLOORS.index(theirs) > FLOORS.index(own) and (own, theirs) not in ENTRY_POINTS:
            yield f"{path.name}:{line}: {own} imports {imported}, which is higher"


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted((ROOT / "edgekit").rglob("*.py")) if "migrations" not in path.parts}
MODULES.pop("edgekit")


@pytest.mark.parametrize("part", FLOORS)
def test_a_part_imports_from_lower_parts_only(part):
    modules = {module: path for module, path in MODULES.items() if floor_of(module) == part}
    assert modules, f"there is no {part}"
    assert [problem for module, path in modules.items() for problem in wrong_imports(path, module)] == []


def test_every_module_has_a_floor():
    assert [module for module in MODULES if floor_of(module) is None] == []


def test_a_wrong_import_is_found_in_a_function_too(tmp_path):
    file = tmp_path / "low.py"
    file.write_text("def late():\n    from edgekit.cli import main\n    import edgekit.report.page\n    return main\n")
    assert len(list(wrong_imports(file, "edgekit.cache.low"))) == 2
    assert list(wrong_imports(file, "edgekit.__main__")) == []
