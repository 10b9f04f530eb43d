"""Loads a user's own network, from a Python function or an exported program, and hashes its source.

Importing this module runs nothing. :func:`load_source` runs the user's code.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, FailureKind, did_you_mean

if TYPE_CHECKING:
    from torch import nn

SKIPPED = {"__pycache__", "site-packages", "node_modules"}
"""Folders beside a user's file whose Python files are not part of its network."""
MODULE_PREFIX = "edgekit_source_"
"""What the name of a module begins with that was loaded from a user's file."""


def parts(source: str) -> tuple[str, str]:
    """Return the file or module of a source, and its function; an exported program has none."""
    if source.endswith(".pt2"):
        return source, ""
    place, _, function = source.rpartition(":")
    return place, function


def short(source: str) -> str:
    """Return a source without the folders of its file: what tables say."""
    place, function = parts(source)
    name = Path(place).name if place.endswith((".py", ".pt2")) else place
    return f"{name}:{function}" if function else name


def source_sha256(source: str) -> str:
    """Return the SHA-256 over all files that a source's network may depend on.

    These are the exported program, all Python files in the folder of a file and below, or all files of a package.
    EdgekitError (``own_model``) if there is nothing.
    """
    total = hashlib.sha256()
    for file in _files(source):
        total.update(_place_of(source, file).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _place_of(source: str, file: Path) -> str:
    """Return where a file is below the folder of its source: the same wherever that folder lies."""
    place, _ = parts(source)
    above = Path(place).parent if place.endswith((".py", ".pt2")) else file.parent
    return file.relative_to(above).as_posix()


def _files(source: str) -> list[Path]:
    place, _ = parts(source)
    if place.endswith((".py", ".pt2")):
        file = Path(place)
        if not file.is_file():
            raise _problem(source, f"there is no file at {place}", "Check the path.")
        if place.endswith(".pt2"):
            return [file]
        return sorted(_python_files(file.parent))
    spec = _spec(source, place.partition(".")[0])
    if not spec.submodule_search_locations:
        return [Path(spec.origin)] if spec.origin else []
    return sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))


def _python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files in a folder and below, without virtual environments and hidden folders."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_skipped(Path(place) / name)]
        yield from (Path(place) / name for name in names if name.endswith(".py"))


def _is_skipped(folder: Path) -> bool:
    return folder.name in SKIPPED or folder.name.startswith(".") or (folder / "pyvenv.cfg").is_file()


def _spec(source: str, module: str) -> Any:
    _put_on_path(module)
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        hint = "Install its package, or write the path of a file: path/to/file.py:function."
        raise _problem(source, f"there is no module named {module}", hint)
    return spec


def load_source(source: str, options: Mapping[str, object]) -> nn.Module:
    """Return the network of `source` in eval mode; the user's code runs here.

    EdgekitError (``own_model``) names the file, the line and what was raised.
    """
    from torch import nn

    place, name = parts(source)
    if place.endswith(".pt2"):
        return _exported(source)
    function = _function(source)
    with user_code(source, f"{name}() raised"):
        model = function(**options)
    if not isinstance(model, nn.Module):
        message = f"{name}() returned {type(model).__name__} instead of a torch.nn.Module"
        raise _problem(source, message, "Return the network itself, not what it computes.")
    return model.eval()


def attributes(source: str) -> Mapping[str, Any]:
    """Return the attribute ``edgekit`` of a source's function: the author's facts on the network. Empty without one."""
    place, _ = parts(source)
    if place.endswith(".pt2"):
        return {}
    return dict(getattr(_function(source), "edgekit", {}))


def _function(source: str) -> Callable[..., Any]:
    """Import the module of a source and return its function."""
    place, name = parts(source)
    _put_on_path(place)
    with user_code(source, "importing it raised"):
        module = _import_file(Path(place)) if place.endswith(".py") else import_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise _problem(source, f"{place} has no function {name}", did_you_mean(name, known))
    return function  # type: ignore[no-any-return]


def _import_file(file: Path) -> Any:
    name = MODULE_PREFIX + file.stem
    spec = spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise _problem(str(file), f"there is no file at {file}", "Check the path.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _exported(source: str) -> nn.Module:
    import torch

    with user_code(source, "reading it raised"):
        program = torch.export.load(source)
    return program.module(check_guards=False)  # the batch may be another one


def exported_shapes(source: str) -> Sequence[tuple[int, ...]]:
    """Return the shapes of the inputs that a program was exported for, with their batch dimension."""
    import torch

    with user_code(source, "reading it raised"):
        program = torch.export.load(source)
    names = set(program.graph_signature.user_inputs)
    nodes = (node for node in program.graph.nodes if node.op == "placeholder" and node.name in names)
    return [tuple(int(side) for side in node.meta["val"].shape) for node in nodes]


def _put_on_path(place: str) -> None:
    """Let a user's module import its neighbours. The folder stays on the path: functions may import later."""
    folder = str((Path(place).parent if place.endswith(".py") else Path()).absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)


@contextmanager
def user_code(source: str, doing: str) -> Iterator[None]:
    """Raise errors of the user's code as EdgekitError (``own_model``), with file and line."""
    try:
        yield
    except EdgekitError:
        raise
    except Exception as error:
        where = _line_of(error)
        message = f"{doing} {type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise _problem(source, f"{message} at {where}", "Correct it there.") from error


def _line_of(error: BaseException) -> str:
    """Return ``file:line: code`` of the last frame in the user's own files, or of the last one of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    frame = ([frame for frame in frames if is_users_file(frame.filename)] or frames)[-1]
    return f"{frame.filename}:{frame.lineno}: {frame.line}" if frame.line else f"{frame.filename}:{frame.lineno}"


def is_users_file(file: str) -> bool:
    """Say whether a file of a traceback is the user's: not Python's, edgekit's or an installed package's."""
    path, python, edgekit = Path(file), Path(sysconfig.get_path("stdlib")), Path(__file__).parents[1]
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not (file.startswith("<") or installed or python in path.parents or edgekit in path.parents)


def _problem(source: str, message: str, hint: str) -> EdgekitError:
    return EdgekitError(FailureKind.own_model, "model", f"{short(source)}: {message}.", hint)


def with_named_outputs(model: nn.Module, results: object, names: Sequence[str], only: str, source: str) -> nn.Module:
    """Name the outputs of `model`. `results` are those of one run, `only` is the name of a single output.

    A network that returns a dictionary or a list then returns a tuple in the same order. A subclass replaces its class,
    so that the names of its weights stay. EdgekitError (``own_model``) for anything else, and if `names` do not fit.
    """
    import torch

    found = _listed(results, only)
    if not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        kinds = ", ".join(type(value).__name__ for value in found.values()) or type(results).__name__
        hint = "Return a tensor, or a tuple or dictionary of tensors."
        raise _problem(source, f"the network returns {kinds}", hint)
    names = tuple(names) or tuple(found)
    if len(names) != len(found):
        hint = "Correct `outputs` under `model`."
        raise _problem(source, f"the network returns {len(found)} tensors, and {len(names)} are named", hint)
    if not isinstance(results, torch.Tensor | tuple):
        own = type(model)

        def forward(self: Any, *inputs: Any) -> Any:
            return tuple(_listed(own.forward(self, *inputs), only).values())

        model.__class__ = type(own.__name__, (own,), {"forward": forward})
    model.output_names = names  # type: ignore[assignment]
    return model


def _listed(results: object, only: str) -> dict[str, Any]:
    """Return output name -> value of a network's result."""
    if isinstance(results, Mapping):
        return {str(name): value for name, value in results.items()}
    if isinstance(results, tuple | list):
        if len(results) == 1:
            return {only: results[0]}
        return {f"output_{index}": value for index, value in enumerate(results)}
    return {only: results}
