"""The fast reader of YAML: what it returns is what ruamel.yaml returns, and what is unusual is left to that."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekit.config.simple_yaml import simple_values
from edgekit.config.yaml import _plain

FILES = sorted([*Path("recipes").glob("*.yaml"), *Path("device_profiles").glob("*.yaml")])


def by_ruamel(text):
    return json.loads(json.dumps(_plain(YAML().load(text)), default=str))


def test_our_own_files_are_read_fast_and_alike():
    for path in FILES:
        text = path.read_text()
        assert json.loads(json.dumps(_plain(simple_values(text)))) == by_ruamel(text), path
    assert len(FILES) > 50


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "on",
        "~",
        "",
        "null",
        "True",
        "-3",
        "0",
        "1e-3",
        "1.50",
        "-2.5E+3",
        "0123abcd",
        "1:30",
        "a: b",
        "'a''b'",
        '"\\u00e9"',
        "[1, a, {b: no}]",
        "{a: [], b: {}}",
        "\n  - 1\n  -\n  - x # not\n",
        "|\n  one\n  two\n",
        ">-\n  one\n  two\n",
        "https://a.b/c#d",
        ".5",
        "3.",
        "é",
        "x-1",
        "=",
        "1 2",
        "a#b",
        "{7: x, true: y, null: z}",
        "- a\n",
        "a\n  b\n  c\n",
    ],
)
def test_values_have_the_types_of_yaml_1_2(value):
    text = f"first: 1\nkey: {value}"
    try:
        expected = by_ruamel(text)
    except Exception:  # noqa: BLE001 - whatever ruamel.yaml raises, the fast reader leaves it to it
        assert simple_values(text) is None
        return
    found = simple_values(text)
    assert found is None or json.loads(json.dumps(_plain(found))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",  # twice
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "%YAML 1.1\n---\na: yes\n",
        "a: 010\n",  # eight in YAML 1.1
        "a: 1_000\n",
        "a: 0x10\n",
        "a: 2026-02-30\n",
        "a: .inf\n",
        "<<: {a: 1}\n",
        "[a, b]: 1\n",
        "- a\n",
        "a: 1\n---\nb: 2\n",
        "a: [1\n",
        "",
        "# nothing\n",
    ],
)
def test_what_is_unusual_is_left_to_ruamel(text):
    assert simple_values(text) is None


def test_what_is_nested_too_deeply_is_refused_at_once():
    with pytest.raises(RecursionError):
        simple_values("a: " + "[" * 100_000 + "]" * 100_000)
