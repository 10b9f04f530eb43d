"""Time by layer, from the operator profile that a measurement holds: how it is summed, and what the page gets."""

import json

import pytest
import small_ledger
from operator_profiles import profile

from edgekit.measure.operators import stored
from edgekit.report.columns import BY_KEY
from edgekit.report.filters import Filters
from edgekit.report.page import page_data
from edgekit.report.page.layers import MOST_LAYERS, layers_of
from edgekit.report.rows import rows_of

MEMORY = {
    "peak_rss_kb": 60_000,
    "baseline_rss_kb": 40_000,
    "model_rss_kb": 20_000,
    "activations_bytes": 1_500_000,
    "activations_kind": "derived",
    "planned_bytes": None,
}


@pytest.mark.parametrize(("blocks", "names"), [(4, 9), (14, 29), (20, 21), (100, 2)])
def test_layers_are_summed_as_deep_as_a_page_has_room(blocks, names):
    layers, profiled = layers_of({"operators": stored(profile(blocks))})
    assert len(layers) == names <= MOST_LAYERS
    assert sum(layer.inside + layer.outside for layer in layers) == pytest.approx(1, abs=0.01)
    odd = layers[-1]
    assert (odd.name, odd.inside) == ("odd", 0)
    assert odd.outside == pytest.approx(0.1 / (0.02 * blocks + 0.1), rel=1e-3)
    assert f"Off the delegate: {odd.outside:.1%}" in profiled


def test_a_measurement_without_a_profile_has_no_layers():
    assert layers_of({}) == ([], "")


def test_the_page_and_the_columns_show_a_profile_and_the_memory(ledger):
    run = ledger.begin_run("deploy", 0, {"name": "1t-big"}, {})
    operators = json.loads(json.dumps(stored(profile(4))))
    with_profile = small_ledger.measure(ledger, run, "v2", small_ledger.FP32, 60.0, operators=operators, memory=MEMORY)
    without = small_ledger.measure(ledger, run, "v3_large", small_ledger.FP32, 44.0)
    rows = rows_of(ledger)
    data = page_data(ledger, rows, Filters())
    assert [layer.name for layer in data.details[with_profile].layers][:2] == ["features.0.0", "features.0.1"]
    assert data.details[with_profile].memory == (
        "61.4 MB resident at most, 20.5 MB of it since before the model was loaded; "
        "1.5 MB of activations alive together (derived)"
    )
    assert (data.details[without].layers, data.details[without].memory) == ([], "")
    assert not any(key.startswith("operators") for key, _ in data.facts)
    cells = {row.recipe: {key: BY_KEY[key].text(row) for key in ("peak_rss_kb", "fallback_share")} for row in rows}
    assert cells == {
        "v2": {"peak_rss_kb": "61.4", "fallback_share": "55.6%"},
        "v3_large": {"peak_rss_kb": None, "fallback_share": None},
    }
