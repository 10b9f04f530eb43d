"""Parts of pages that benchmarks write: between ``<!-- benchmarks/NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

from pathlib import Path

MEASUREMENT = Path(__file__).resolve().parents[1] / "docs/measurement.md"
END = "<!-- end -->\n"


def write_part(name: str, text: str, page: Path = MEASUREMENT) -> None:
    """Replace the part of `page` that the benchmark `name` writes; ValueError if the page has no such part."""
    begin = f"<!-- benchmarks/{name} -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    old, closed, after = rest.partition(END)
    if not found or not closed or "<!-- benchmarks/" in old:
        raise ValueError(f"{page} has no part between {begin.strip()} and {END.strip()}")
    page.write_text(f"{before}{begin}{text}{END}{after}", encoding="utf-8")
