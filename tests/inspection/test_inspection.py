import pytest

from edgekit.architectures.cost import Cost, LayerCost, cost
from edgekit.errors import UsageError
from edgekit.inspection import InspectDocument, inspect, inspect_closely, sweep
from edgekit.inspection.roofline import Machine, machine_of, roofline
from edgekit.inspection.tables import listing, markdown, page
from edgekit.recipe.loading import load_recipe

# 2 * 8000 operations at 1 GFLOP/s are 16 us; (100 + 100 + 80) * 4 bytes at 0.1 GB/s are 11.2 us
COMPUTE = LayerCost("compute", "conv 1x1", (10, 10), (10, 10), parameters=80, multiply_adds=8000)
# 2 * 1000 operations are 2 us; (100 + 100 + 80) * 4 bytes are 11.2 us
MEMORY = LayerCost("memory", "depthwise 3x3", (10, 10), (10, 10), parameters=80, multiply_adds=1000)
NORM = LayerCost("norm", "batch norm", (10, 10), (10, 10), parameters=20, multiply_adds=0)


def test_the_roofline_is_the_longer_of_arithmetic_and_memory():
    estimate = roofline(Cost((COMPUTE, NORM, MEMORY, MEMORY)), Machine(peak_gflops=1, bandwidth_gbs=0.1))
    assert [(layer.name, layer.memory_bound) for layer in estimate.layers] == [
        ("compute", False),
        ("memory", True),
        ("memory", True),
    ]
    assert [layer.ms for layer in estimate.layers] == pytest.approx([16e-3, 11.2e-3, 11.2e-3])
    assert estimate.total_ms == pytest.approx(38.4e-3)
    assert estimate.memory_bound_share == pytest.approx(2 / 3)
    assert estimate.kind == "estimated"


def test_without_a_memory_limit_the_roofline_is_multiply_adds_over_the_peak():
    counted = cost("mobilenet_v1", 224)
    estimate = roofline(counted, Machine(peak_gflops=10, bandwidth_gbs=1e9))
    assert estimate.total_ms == pytest.approx(2 * 568_740_352 / 10e9 * 1e3)
    assert estimate.memory_bound_share == 0


@pytest.mark.parametrize("figures", [(1.0, None), (None, 1.0)])
def test_a_machine_needs_two_figures(figures):
    with pytest.raises(UsageError, match="--peak-gflops and --bandwidth-gbs"):
        machine_of(*figures)


def test_no_figures_are_no_machine():
    assert machine_of(None, None) is None


def test_a_sweep_shows_every_combination_with_its_contract():
    swept = sweep(load_recipe("v1"), ("width=1.0,0.6", "resolution=224,192"))
    assert [(one.variant, one.contract) for one in swept] == [
        ("1.0/224", "met"),
        ("1.0/192", "met"),
        ("0.6/224", "no contract"),
        ("0.6/192", "no contract"),
    ]
    assert swept[1].multiply_adds == 418_121_728  # MobileNetV1 paper, Table 7: 418 M
    assert swept[0].parameters == swept[1].parameters


def test_a_sweep_of_a_recipe_with_a_checkpoint_counts_without_it():
    (one,) = sweep(load_recipe("v2"), ("width=0.35",))
    assert (one.variant, one.parameters, one.contract) == ("0.35/224", 1_677_128, "met")


@pytest.mark.parametrize(("name", "variants"), [("v1", 16), ("v2", 22)])
def test_a_recipes_own_sweep_makes_the_papers_variants_which_all_have_a_contract(name, variants):
    made = [one.model.variant for one in load_recipe(name).variants()]
    assert len(made) == variants
    assert set(made) == set(load_recipe(name).expect)


def test_a_sweep_of_what_an_architecture_does_not_take_says_so():
    with pytest.raises(UsageError) as raised:
        sweep(load_recipe("v3_small"), ("depth=2",))
    assert "--sweep depth=2: mobilenet_v3_small takes no depth" in raised.value.failure.message


def test_a_recipe_without_a_sweep_asks_what_to_vary():
    with pytest.raises(UsageError, match="has no `sweep`"):
        sweep(load_recipe("v3_small"), ())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("width", "--sweep width: write width=VALUE,VALUE or resolution=VALUE,VALUE"),
        ("classes=10", "--sweep classes=10: write width="),
        ("width=wide", "--sweep width=wide: Input should be a valid number"),
        ("width=1.0,0", "--sweep width=0: Input should be greater than 0"),
        ("resolution=16", "--sweep resolution=16: Input should be greater than or equal to 32"),
        ("resolution=", "--sweep resolution=: Input should be a valid integer"),
    ],
)
def test_a_sweep_that_cannot_be_says_so(setting, said):
    with pytest.raises(UsageError) as raised:
        sweep(load_recipe("v1"), (setting,))
    assert said in raised.value.failure.message


def test_a_close_inspection_adds_up():
    entry, brief = inspect_closely(load_recipe("v1")), inspect(load_recipe("v1")).model_dump(exclude_none=True)
    assert entry.model_dump(include=brief.keys()) == brief
    assert sum(layer.multiply_adds for layer in entry.layers) == entry.multiply_adds
    assert sum(one.parameters_share for one in entry.operators) == pytest.approx(1)
    assert sum(one.multiply_adds_share for one in entry.operators) == pytest.approx(1)
    assert (entry.full_convolutions.parameters, entry.full_convolutions.multiply_adds) == (29_294_088, 4_867_293_184)
    assert entry.memory.weights_fp32_bytes == 4 * entry.memory.weights_int8_bytes == 4 * 4_231_976
    assert entry.roofline is None


def test_what_is_derived_or_estimated_says_so_on_the_page():
    shown = markdown(page(inspect_closely(load_recipe("v1"), Machine(peak_gflops=20, bandwidth_gbs=10))))
    for part in (
        "ms (estimated)",
        "bound by (estimated)",
        "Roofline (estimated",
        "### with full convolutions (derived",
        "### memory (derived",
        "contract met",
    ):
        assert part in shown
    assert "| full                |   29,294,088 |   4,867,293,184 |" in shown


def test_without_a_machine_no_time_is_estimated():
    assert "estimated" not in markdown(page(inspect_closely(load_recipe("v1"))))


def test_where_the_comparison_is_not_defined_a_sentence_says_so():
    shown = markdown(page(inspect_closely(load_recipe("v3_large"))))
    assert "No comparison with full convolutions" in shown
    assert "### with full convolutions" not in shown


def test_a_listing_has_a_row_per_entry():
    shown = markdown(listing(InspectDocument(recipes=[inspect(load_recipe("v1")), inspect(load_recipe("v2"))])))
    assert shown.count("\n") == 4
    assert "300,774,272" in shown
