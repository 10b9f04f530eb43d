"""A reader for simple YAML, fifty times as fast as ruamel.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

DEEPEST = 50
"""The maximum nesting. Real documents have less than a tenth of it."""

INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def simple_values(text: str) -> dict[Any, Any] | None:
    """Return the mapping in `text`, equal to ruamel.yaml's; None if only ruamel.yaml can judge it.

    That is text with an error, an alias, a tag, a directive, a key that stands twice, or a value that
    YAML 1.1 and 1.2 may read differently. libyaml finds the parts of the text; ruamel.yaml's rules say
    which type a value has. RecursionError for more than :data:`DEEPEST` levels, which take ruamel.yaml
    minutes.
    """
    if not yaml.__with_libyaml__:
        return None
    try:
        events = yaml.parse(text, Loader=yaml.CBaseLoader)
        start = [next(events) for _ in range(3)]
        if start[1].explicit or not isinstance(start[2], yaml.MappingStartEvent):
            return None
        content = _value(start[2], events, DEEPEST)
        next(events)
        return content if isinstance(next(events), yaml.StreamEndEvent) else None
    except (yaml.YAMLError, UnusualError, StopIteration):
        return None


class UnusualError(Exception):
    """Raised for what is left to ruamel.yaml."""


def _value(event: Any, events: Iterator[Any], levels: int) -> Any:
    if levels == 0:
        raise RecursionError("it is nested too deeply")
    if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
        raise UnusualError
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event.value) if event.implicit[0] else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        return _values(events, yaml.SequenceEndEvent, levels - 1)
    values = _values(events, yaml.MappingEndEvent, levels - 1)
    if any(isinstance(key, dict | list) for key in values[::2]):
        raise UnusualError
    content = dict(zip(values[::2], values[1::2], strict=True))
    if 2 * len(content) < len(values):
        raise UnusualError
    return content


def _values(events: Iterator[Any], end: type, levels: int) -> list[Any]:
    values = []
    while not isinstance(event := next(events), end):
        values.append(_value(event, events, levels))
    return values


def _scalar(text: str) -> object:
    kind = str(RESOLVER.resolve(ScalarNode, text, (True, False))).rpartition(":")[2]
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int" and INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and FLOAT.fullmatch(text):
        return float(text)
    raise UnusualError


RESOLVER = VersionedResolver(version=(1, 2))
