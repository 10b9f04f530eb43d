"""The page's template, its style and its scripts, put together with the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from edgekit.errors import EdgekitError, FailureKind
from edgekit.report.page.document import PageData

SCRIPTS = ("common.js", "plots.js", "scatter.js", "answer.js", "tables.js", "detail.js", "page.js")
"""In the order in which the page runs them."""


@dataclass(frozen=True)
class Frame:
    """What the page says around its data: the notes, the filters, and what the user chose."""

    notes: Sequence[str]
    filters: str
    answered: bool
    chosen_columns: bool
    made: datetime


def rendered(data: PageData, frame: Frame) -> str:
    """Return the page as HTML; EdgekitError if the packages of the extra `report` are missing."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise _missing("Jinja2") from error
    environment = Environment(
        loader=PackageLoader("edgekit.report.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        data=data,
        json=as_data(data.model_dump_json()),
        notes=frame.notes,
        filters=frame.filters,
        answered=frame.answered,
        chosen_columns=frame.chosen_columns,
        made=f"{frame.made:%Y-%m-%d %H:%M} UTC",
        style=asset("page.css"),
        library=as_script(library()),
        scripts=[as_script(asset(name)) for name in SCRIPTS],
    )


def as_data(text: str) -> str:
    r"""Return JSON that ends no ``<script>`` and opens no comment in it: each ``<`` becomes ``\u003c``."""
    return text.replace("<", "\\u003c")


def as_script(text: str) -> str:
    r"""Return JavaScript that ends no ``<script>`` within a text: ``</script`` becomes ``<\/script``."""
    return text.replace("</script", "<\\/script")


def asset(name: str) -> str:
    """Return the text of a file of the page."""
    return files("edgekit.report.page").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def library() -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed, minified, in one piece; about 0.9 MB."""
    try:
        import vl_convert
    except ModuleNotFoundError as error:
        raise _missing("vl-convert-python") from error
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _missing(package: str) -> EdgekitError:
    message, hint = f"The page needs the package {package}.", "Install it: pip install 'edgekit[report]'."
    return EdgekitError(FailureKind.missing_extra, "report", message, hint)
