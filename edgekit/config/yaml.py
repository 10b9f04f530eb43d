"""Recipes and device profiles in YAML: loading, overrides, errors with file, line and key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from edgekit.config.simple_yaml import simple_values
from edgekit.errors import FailureKind, UsageError, did_you_mean


class Strict(BaseModel):
    """A part of a document: immutable; unknown keys and infinite numbers are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def about_keys(cls) -> str:
        """Return a sentence about the valid keys, which follows the nearest one if a key is unknown; empty for none."""
        return ""


@dataclass(frozen=True)
class Written:
    """Annotates text that must match a regular expression. `wanted` is the hint for people."""

    pattern: str
    wanted: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the text after the checks of its type."""
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Show editors the pattern."""
        return {**handler(schema), "pattern": self.pattern}

    def fits(self, text: str) -> bool:
        """Return whether `text` matches."""
        return re.fullmatch(self.pattern, text) is not None

    def _check(self, text: str) -> str:
        if not self.fits(text):
            raise ValueError(f"write {self.wanted}")
        return text


class UnfittingError(ValueError):
    """Raised by a validator of a document for one value: `at` is the key in the message."""

    def __init__(self, message: str, *at: str) -> None:
        super().__init__(message)
        self.at = at


SET = re.compile(r"""(?P<key>(?:"[^"]+"|[^."=]+)(?:\.(?:"[^"]+"|[^."=]+))*)=(?P<value>.*)""", re.DOTALL)
"""``key.key=value``; a key with a dot or an equals sign is in quotes: ``expect."1.0/224".parameters=4``."""


@dataclass(frozen=True)
class Override:
    """A key that overrides the file: ``key.key=value``, with a YAML value, and what the user wrote.

    UsageError if `text` has another form.
    """

    text: str
    said: str

    def __post_init__(self) -> None:
        if not SET.fullmatch(self.text):
            hint = "Separate nested keys with dots. Quote a key that contains a dot."
            raise UsageError(f"{self.said}: write KEY=VALUE.", hint)

    @property
    def keys(self) -> list[str]:
        """The keys on the way to the value."""
        return [quoted or plain for quoted, plain in re.findall(r'"([^"]+)"|([^."]+)', self._parts["key"])]

    @property
    def value(self) -> str:
        """The value, in YAML."""
        return self._parts["value"]

    @property
    def _parts(self) -> re.Match[str]:
        parts = SET.fullmatch(self.text)
        assert parts
        return parts


NAME = Written(r"^[a-z0-9][a-z0-9_.-]{0,99}$", "a name: a-z, 0-9 and, after the first, _ . - too, 100 at most")
Name = Annotated[str, NAME]
"""The form of names of recipes, device profiles and tools."""
DocumentT = TypeVar("DocumentT", bound=Strict)

IN_YAML = {
    "model_type": "write keys and values here, not one value",
    "dict_type": "write keys and values here, not one value",
    "tuple_type": "write a list here: [a, b]",
    "too_short": "name at least one",
    "string_type": "write text here, in quotes if it looks like a number",
}
"""Pydantic's kind of error -> a message in the terms of YAML instead of Python."""


def load_document(schema: type[DocumentT], path: Path, overrides: Sequence[Override] = ()) -> DocumentT:
    """Read `path` as `schema`, after the `overrides`; errors as of :meth:`YamlFile.fit`."""
    return YamlFile(path).fit(schema, overrides)


class YamlFile:
    """The text of a YAML file that a person wrote; UsageError (kind ``recipe``) for a file that cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, _text(path)

    def values(self, overrides: Sequence[Override] = ()) -> dict[str, Any]:
        """Return the file's values after the `overrides`; UsageError (kind ``recipe``) if it is not YAML."""
        try:
            content = simple_values(self.text)
        except RecursionError as error:
            raise UsageError(f"{self.path} is nested too deeply.", kind=FailureKind.recipe) from error
        if content is None:
            content = _parse(self.path, self.text)
        for override in overrides:
            _override(content, override)
        values: dict[str, Any] = _plain(content)
        return values

    def fit(self, schema: type[DocumentT], overrides: Sequence[Override] = ()) -> DocumentT:
        """Return the file as `schema`, after the `overrides`. No value is converted: ``true`` and ``"1"`` are no numbers.

        UsageError (kind ``recipe``) if it is not YAML or does not fit. It names the file and the line, or the override, and the
        key.
        """
        try:
            return schema.model_validate_json(json.dumps(self.values(overrides), default=str), strict=True)
        except ValidationError as error:
            content = _parse(self.path, self.text)  # which knows the lines
            for override in overrides:
                _override(content, override)
            # If all items of a list are wrong, pydantic says as well that the list is empty.
            places = [problem["loc"] for problem in error.errors()]
            problems = [
                _explain(schema, content, self.path, overrides, problem)
                for problem in error.errors()
                if problem["type"] != "too_short"
                or sum(place[: len(problem["loc"])] == problem["loc"] for place in places) == 1
            ]
            raise UsageError("\n".join(problems), kind=FailureKind.recipe) from error


LARGEST = 200_000
"""The largest document in bytes. The parser needs seconds for more; real documents have a hundredth."""


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise UsageError(
                f"{path} has {size:,} bytes. A recipe or profile has at most {LARGEST:,}.", kind=FailureKind.recipe
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not a recipe or device profile: it is not text in UTF-8 ({error.reason})."
        raise UsageError(message, "Name another file, or write this one in UTF-8.", FailureKind.recipe) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}.", kind=FailureKind.recipe) from error


def _parse(path: Path, text: str) -> CommentedMap:
    try:
        if alias := _alias(text):
            raise _no_aliases(f"{path}, line {alias.start_mark.line + 1}", alias)
        content = YAML().load(text)
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply.", kind=FailureKind.recipe) from error
    except (YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: this is not YAML: {_yaml_problem(error)}.", kind=FailureKind.recipe) from error
    if not isinstance(content, CommentedMap):
        raise UsageError(f"{path} does not contain a mapping of keys to values.", kind=FailureKind.recipe)
    return content


def _alias(text: str) -> AliasEvent | None:
    return next((event for event in YAML().parse(text) if isinstance(event, AliasEvent)), None)


def _no_aliases(where: str, alias: AliasEvent) -> UsageError:
    return UsageError(
        f"{where}: aliases (*{alias.anchor}) are not allowed.", "Write the value out.", FailureKind.recipe
    )


def _override(content: dict[Any, Any], override: Override) -> None:
    *parents, last = override.keys
    place: Any = content
    for parent in parents:
        place = place.setdefault(parent, CommentedMap())
        if not isinstance(place, dict):
            raise UsageError(f"{override.said}: {parent} is a value and has no keys of its own.")
    try:
        simple_values(f"value: {override.value}")  # refuses at once what is nested too deeply
        if alias := _alias(override.value):
            raise _no_aliases(override.said, alias)
        place[last] = YAML(typ="safe").load(override.value)
    except (YAMLError, ValueError, RecursionError) as error:
        problem = f"{override.said}: the value is not YAML: {_yaml_problem(error)}."
        raise UsageError(problem, "Put quotes around text: 'key=\"text\"'.") from error


def _yaml_problem(error: Exception) -> str:
    return error.problem or str(error) if isinstance(error, MarkedYAMLError) else str(error).splitlines()[0]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _explain(
    schema: type[Strict], content: CommentedMap, path: Path, overrides: Sequence[Override], problem: Any
) -> str:
    """Format a pydantic error: file, line (or override), key, problem, nearest valid name."""
    unfitting = problem.get("ctx", {}).get("error")
    places = [part for part in problem["loc"] if not str(part).startswith("(")]  # tags of kinds, see Recipe.model
    location = [*places, *(unfitting.at if isinstance(unfitting, UnfittingError) else ())]
    lines, part = _lines(content, location), location[:-1]
    # If the file does not have the part, the missing key belongs to the override.
    place = part if problem["type"] == "missing" and len(lines) < len(part) else location
    override = next((candidate for candidate in reversed(overrides) if _concerns(candidate, place)), None)
    where = f"{path} with {override.said}" if override else f"{path}, line {[1, *lines][-1]}"
    key = ".".join(map(str, location)) or "(top)"
    if problem["type"] == "extra_forbidden":
        nearest = did_you_mean(str(location[-1]), _keys(schema, location[:-1]))
        about = schema.about_keys() if len(location) == 1 else ""
        return f"{where}: unknown key {key}. {nearest} {about}".rstrip()
    said = IN_YAML.get(problem["type"], problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing" and (misspelt := _misspelt(schema, content, location)):
        said = f"{said}. Is {misspelt} a misspelling of it?"
    return f"{where}, key {key}: {said}" + ("" if said.endswith((".", "?")) else ".")


def _misspelt(schema: type[BaseModel], content: CommentedMap, location: list[str | int]) -> str:
    """Return an unknown key that resembles the missing key beside it, or an empty text."""
    place: Any = content
    for part in location[:-1]:
        place = place.get(part, {}) if isinstance(place, dict) else {}
    unknown = [str(key) for key in place if str(key) not in _keys(schema, location[:-1])]
    return next(iter(get_close_matches(str(location[-1]), unknown, n=1)), "")


def _concerns(override: Override, location: list[str | int]) -> bool:
    """Return whether the key of `override` contains the place of an error, or lies in it."""
    key, place = override.keys, [str(part) for part in location]
    shorter = min(len(key), len(place))
    return shorter > 0 and key[:shorter] == place[:shorter]


def _lines(content: CommentedMap, location: Iterable[str | int]) -> list[int]:
    """Return the lines of the keys on the path to `location`, outermost first, as far as the file has them."""
    lines: list[int] = []
    place: Any = content
    for part in location:
        written = place.lc.data if isinstance(place, CommentedMap | CommentedSeq) else {}
        found = [key for key in written if _key(key) == str(part)]
        if not found:
            break
        lines.append(written[found[0]][0] + 1)
        place = place[found[0]]
    return lines


def _key(key: object) -> str:
    """Return a key as text, as YAML writes it: ``7``, ``null``, ``true``."""
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)


def _keys(schema: type[BaseModel], location: list[str | int]) -> Iterable[str]:
    """Return the keys that are valid at `location`; keys of mappings and indices of lists lead to the same schema."""
    for part in location:
        field = schema.model_fields.get(str(part))
        if field is not None:
            schema = _schema_in(field.annotation) or schema
    return schema.model_fields


def _schema_in(annotation: Any) -> type[BaseModel] | None:
    """Return the document part in an annotation such as ``Part | None`` or ``dict[str, Part]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _schema_in(part))), None)
