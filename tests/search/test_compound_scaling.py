import pytest

from edgekit.errors import UsageError
from edgekit.recipe.loading import load_recipe
from edgekit.search.compound_scaling import Coefficients, grid_search, recipe_of, released, scale, within

PAPER = Coefficients()


def test_the_shipped_family_is_the_released_one():
    for one in released():
        if one.family == "efficientnet":
            model = load_recipe(one.model.lower().replace("-", "_")).model
            assert (model.depth or 1.0, model.width, model.resolution) == (one.depth, one.width, one.resolution)


@pytest.mark.parametrize("member", [1, 7])
def test_b0_scales_to_the_released_members_to_the_unit(member):
    scaled, shipped = scale(load_recipe("efficientnet_b0"), member), load_recipe(f"efficientnet_b{member}")
    assert scaled.released == f"EfficientNet-B{member}"
    assert (scaled.depth, scaled.width, scaled.resolution) == (
        shipped.model.depth,
        shipped.model.width,
        shipped.model.resolution,
    )
    assert scaled.multiply_adds == shipped.expectation.multiply_adds
    assert scaled.parameters == shipped.expectation.parameters


@pytest.mark.parametrize(("phi", "member"), [(0.5, "b1"), (1, "b2"), (2, "b3")])
def test_the_formula_comes_near_the_members_that_lie_on_its_curve(phi, member):
    shipped = load_recipe(f"efficientnet_{member}").model
    scaled = scale(load_recipe("efficientnet_b0"), phi, PAPER)
    assert scaled.depth == pytest.approx(shipped.depth, abs=0.05)
    assert scaled.width == pytest.approx(shipped.width, abs=0.05)
    assert scaled.resolution == pytest.approx(shipped.resolution, abs=4)


def test_a_budget_is_kept_and_used():
    base = load_recipe("v2")
    found = within(base, 600e6)
    assert 500e6 < found.multiply_adds <= 600e6
    assert within(base, found.multiply_adds).multiply_adds == found.multiply_adds


def test_coefficients_that_let_nothing_grow_are_refused():
    with pytest.raises(UsageError, match="nothing grows"):
        within(load_recipe("v2"), 400e6, Coefficients(alpha=1, beta=1, gamma=1))


def test_phi_0_is_the_base_itself_and_rectangles_are_refused():
    scaled = scale(load_recipe("efficientnet_b2"), 0, PAPER)
    assert (scaled.depth, scaled.width, scaled.resolution) == (1.2, 1.1, 260)
    with pytest.raises(UsageError, match="not square"):
        scale(load_recipe("v2", ("model.input_width=448", "weights={random: 0}")), 1)


def test_a_budget_below_the_smallest_model_says_so():
    with pytest.raises(UsageError, match=r"costs 1,000 multiply-adds or less; phi .* still costs"):
        within(load_recipe("v2"), 1000)


def test_the_grid_keeps_what_really_doubles_the_cost():
    found = grid_search(load_recipe("v1", ("model.resolution=64",)), tolerance=0.05)
    assert all(1.9 <= one.counted_ratio <= 2.1 for one in found)
    assert [abs(one.counted_ratio - 2) for one in found] == sorted(abs(one.counted_ratio - 2) for one in found)
    assert len({(c.alpha, c.beta, c.gamma) for c in (one.coefficients for one in found)}) == len(found) > 5


def test_a_scaled_recipe_has_its_counts_as_contract_and_random_weights():
    from edgekit.inspection import inspect

    scaled = scale(load_recipe("v2"), 1, PAPER)
    recipe = recipe_of(load_recipe("v2"), scaled)
    assert recipe.weights.random == 0
    assert recipe.published is None
    assert inspect(recipe).contract == "met"


def test_what_has_no_depth_cannot_be_scaled():
    with pytest.raises(UsageError, match="mobilenet_v3_large has no depth"):
        scale(load_recipe("v3_large"), 1)


def test_a_scaling_that_makes_no_model_says_so():
    with pytest.raises(UsageError, match="is not a valid model"):
        scale(load_recipe("v1"), -16, PAPER)
