"""Pages use plain, modern words: none of those that edgekit does not use."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("README.md", "CONTRIBUTING.md", "docs")
"""Files and folders whose text is checked."""
SUFFIXES = (".md",)
EXEMPT = {
    "docs/cli.md": "generated from help texts",
    "docs/support-matrix.md": "generated from the ledger",
    "docs/architecture.md": "not rewritten yet",
}
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
    "is no (folder|file|number|directory)",
    "goes? on with",
    "that is cut off",
    "law of",
    "next to nothing",
)
UNUSED = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)


def checked():
    """Return the files below the roots, without the exempt ones."""
    found = []
    for root in map(ROOT.joinpath, ROOTS):
        files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES)
        found += [file for file in files if str(file.relative_to(ROOT)) not in EXEMPT]
    return found


def unused_words(text):
    """Return the line number and the word of each unused word, outside code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL)
    return [(text.count("\n", 0, match.start()) + 1, match[0]) for match in UNUSED.finditer(text)]


def test_pages_use_words_that_edgekit_uses():
    places = [
        f"{file.relative_to(ROOT)}:{line}: {word}"
        for file in checked()
        for line, word in unused_words(file.read_text())
    ]
    assert not places, "words that edgekit does not use (see CONTRIBUTING.md):\n" + "\n".join(places)


def test_exempt_pages_exist():
    assert [page for page in EXEMPT if not (ROOT / page).is_file()] == []


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
