"""YAML documents that people write (recipes, device profiles): loading, overriding, and errors that name file, line and key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent

from edgekit.errors import FailureKind, UsageError


class Strict(BaseModel):
    """A part of a document: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


DocumentT = TypeVar("DocumentT", bound=Strict)


def load_document(schema: type[DocumentT], path: Path, overrides: tuple[str, ...] = ()) -> DocumentT:
    """Read `path` as `schema`, after the `overrides` (``key.key=value``, value in YAML).

    UsageError (kind ``recipe``) for a file that cannot be read, is not YAML or does not fit the schema.
    """
    try:
        content = _parse(path)
        for override in overrides:
            _override(content, override)
        return schema.model_validate(_plain(content))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", kind=FailureKind.recipe) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UsageError(f"{path}, line {line}: this is not YAML: {error.problem}.", kind=FailureKind.recipe) from error
    except ValidationError as error:
        problems = [_explain(schema, content, path, problem) for problem in error.errors()]
        raise UsageError("\n".join(problems), kind=FailureKind.recipe) from error


def _parse(path: Path) -> CommentedMap:
    text = path.read_text(encoding="utf-8")
    for event in YAML().parse(text):
        if isinstance(event, AliasEvent):
            line = event.start_mark.line + 1
            raise UsageError(
                f"{path}, line {line}: aliases (*{event.anchor}) are not allowed.",
                "Write the value out.",
                FailureKind.recipe,
            )
    content = YAML().load(text)
    if not isinstance(content, CommentedMap):
        raise UsageError(f"{path} holds no mapping of keys to values.", kind=FailureKind.recipe)
    return content


def _override(content: CommentedMap, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {override}: write KEY=VALUE, for example model.width=0.75.")
    *parents, last = key.split(".")
    place: Any = content
    for parent in parents:
        place = place.setdefault(parent, CommentedMap())
        if not isinstance(place, dict):
            raise UsageError(f"--set {override}: {parent} is a value and has no keys of its own.")
    place[last] = YAML(typ="safe").load(text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _explain(schema: type[BaseModel], content: CommentedMap, path: Path, problem: Any) -> str:
    """Turn one pydantic error into: file, line, key, what is wrong, nearest valid name."""
    location = [part for part in problem["loc"] if isinstance(part, str | int)]
    line, place, fields = 1, content, schema
    for part in location:
        if isinstance(place, CommentedMap) and part in place:
            line = place.lc.key(part)[0] + 1 if part in place.lc.data else line
            place = place[part]
        annotation = fields.model_fields.get(str(part)) if fields else None
        inner = annotation.annotation if annotation else None
        if part != location[-1]:
            fields = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None  # type: ignore[assignment]
    text = f"{path}, line {line}, key {'.'.join(map(str, location)) or '(top)'}: {problem['msg']}."
    if problem["type"] == "extra_forbidden":
        text = f"{path}, line {line}: unknown key {'.'.join(map(str, location))}."
        nearest = difflib.get_close_matches(str(location[-1]), fields.model_fields if fields else [], n=1)
        text += f" Did you mean {nearest[0]}?" if nearest else ""
    return text.replace("Value error, ", "").replace("..", ".")
