"""MkDocs hooks: the pages of ``benchmarks/`` are part of the site, although they are outside ``docs/``."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of ``benchmarks/`` under ``benchmarks/``."""
    for page in sorted(BENCHMARKS.glob("*.md")):
        files.append(File.generated(config, f"benchmarks/{page.name}", abs_src_path=str(page)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return the page with its links as they are in the site, where ``benchmarks/`` is beside the pages of ``docs/``."""
    if page.file.src_uri.startswith("benchmarks/"):
        return markdown.replace("](../docs/", "](../")
    return markdown.replace("](../benchmarks/", "](benchmarks/")
