"""Pages and the package use plain, modern words: none of those that edgekit does not use."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("README.md", "CONTRIBUTING.md", "docs", "edgekit")
"""Files and folders whose text is checked."""
SUFFIXES = (".md", ".py")
WORDS = (
    "tell",
    "tells",
    "told",
    "telling",
    "anew",
    "befalls?",
    "befell",
    "befallen",
    "mends?",
    "mended",
    "shall",
    "nobody",
    "somebody",
    "whoever",
    "whosoever",
    "hitherto",
    "henceforth",
    "thus",
    "stands? there",
    "(?<!there )is no (folder|file|number|directory)",
    "goes? on with",
    "that is cut off",
    "law of",
    "next to nothing",
)
UNUSED = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
STRINGS = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
"""Tokens of text. From Python 3.12 on, an f-string has tokens of its own for its text."""


def checked():
    """Return the files below the roots."""
    found = []
    for root in map(ROOT.joinpath, ROOTS):
        files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES)
        found += files
    return found


def unused_words(text):
    """Return the line number and the word of each unused word, outside code in backticks."""
    text = re.sub(r"```.*?```|``[^`\n]*``|`[^`\n]*`", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL)
    return [(text.count("\n", 0, match.start()) + 1, match[0]) for match in UNUSED.finditer(text)]


def unused_words_of_python(source):
    """Return the same for Python's comments, strings of more than one word, and names."""
    found, previous = [], ""
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        is_text = token.type == tokenize.COMMENT or (token.type in STRINGS and " " in token.string)
        is_name = token.type == tokenize.NAME and (previous, token.string) != (
            ".",
            "tell",
        )  # a method of Python's files
        if is_text or is_name:
            text = token.string if is_text else token.string.replace("_", " ")
            found += [(token.start[0] + line - 1, word) for line, word in unused_words(text)]
        previous = token.string
    return found


READERS = {".md": unused_words, ".py": unused_words_of_python}


def test_texts_use_words_that_edgekit_uses():
    places = [
        f"{file.relative_to(ROOT)}:{line}: {word}"
        for file in checked()
        for line, word in READERS[file.suffix](file.read_text())
    ]
    assert not places, "words that edgekit does not use (see CONTRIBUTING.md):\n" + "\n".join(places)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What it told.", [(1, "told")]),
        ("One.\n```\ntold\n```\nIt stands there.", [(5, "stands there")]),
        ("`told` is code; Shall is not.", [(1, "Shall")]),
        ("mendeley, recommend, shallow, told-of", [(1, "told")]),
    ],
)
def test_a_word_is_found_with_its_line(text, found):
    assert unused_words(text) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Does it.\n\nWhat it told.\n"""', [(3, "told")]),
        ("x = 1  # it befalls all", [(1, "befalls")]),
        ('raise ValueError(f"{x} is no folder")', [(1, "is no folder")]),
        ('raise ValueError(f"There is no folder {x}")', []),
        ("def was_told(): pass", [(1, "told")]),
        ("tell(1)", [(1, "tell")]),
        ('{"told": 1}; file.tell()', []),
        ('"the key ``told``, as `tell` says"', []),
    ],
)
def test_a_word_in_python_is_found_with_its_line(source, found):
    assert unused_words_of_python(source) == found
