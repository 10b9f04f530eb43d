"""p90 is shown nowhere without its bound and the confidence of that, also if an old ledger has one without."""

import csv
import io

import pytest

import edgekit
from edgekit.ledger import Ledger
from edgekit.report.document import run_document
from edgekit.report.filters import Filters
from edgekit.report.page import page_data
from edgekit.report.rows import rows_of
from edgekit.report.tables import csv as as_csv
from edgekit.report.tables import markdown
from tests.selection.selection_ledger import Laboratory

BOUND = ("p90_ms", "p90_upper_ms", "p90_upper_confidence")


@pytest.fixture
def urls(tmp_path):
    """Ledgers: one measurement with a bound, and one as edgekit 0.1 stored it without one."""
    found = {}
    for name in ("bounded", "unbounded"):
        found[name] = f"sqlite:///{tmp_path}/{name}.sqlite"
        with Ledger.open(found[name]) as ledger:
            lab = Laboratory(ledger)
            id = lab.measure("net", 10.0, delegation="unknown", contract="none")
            if name == "unbounded":
                (record,) = ledger.measurements()
                old = {key: value for key, value in record.summary.items() if key != "p90_confidence"}
                summary = {**old, "p90": 11.0, "p90_upper": None}
                facts = record.conditions or {}
                ledger.finish_measurement(id, verdict="stable", evidence="", summary=summary, conditions=facts)
    return found


def everywhere(url):
    """Return p90, its bound and the confidence in JSON, CSV, the page and the API, and the Markdown table."""
    with Ledger.open(url) as ledger:
        rows = rows_of(ledger)
        (entry,) = run_document(ledger, rows[0].run).measurements
        (line,) = csv.DictReader(io.StringIO(as_csv(rows)))
        page = page_data(ledger, rows, Filters())
        detail = page.details[0] if isinstance(page.details, list) else next(iter(page.details.values()))
        statistics = dict(zip(page.statistics, detail.statistics, strict=True))
        table = markdown(rows)
    with edgekit.Ledger.open(url) as opened:
        (frame,) = opened.measurements().to_dict("records")
        (row,) = opened.rows()
    keys = ("p90", "p90_upper", "p90_confidence")
    return {
        "json": [getattr(entry, key) for key in BOUND],
        "csv": [float(line[key]) if line[key] else None for key in BOUND],
        "page": [statistics.get(key) for key in keys],
        "rows": [row.summary[key] for key in keys],
        "frame": [None if frame[key] is None or frame[key] != frame[key] else frame[key] for key in BOUND],
    }, table


def test_with_a_bound_all_three_are_everywhere(urls):
    found, table = everywhere(urls["bounded"])
    for values in found.values():
        assert values[0] < values[1]
        assert values[2] == 0.95
    assert "(≤ " in table


def test_without_a_bound_there_is_no_p90_anywhere(urls):
    found, table = everywhere(urls["unbounded"])
    assert found == {place: [None, None, None] for place in found}
    assert "11.0" not in table and "(≤ " not in table
