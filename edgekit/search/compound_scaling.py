"""Compound scaling: depth, width and resolution grow together. EfficientNet, arXiv:1905.11946v5, section 3.3.

depth = alpha ** phi, width = beta ** phi, resolution = gamma ** phi with alpha * beta ** 2 * gamma ** 2 ~ 2, so that a step of
phi doubles the multiply-adds. The released EfficientNets are not on that curve: their coefficients were rounded by hand, and
from B4 up no single phi gives them, so they are data (released_scalings.csv).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

from pydantic import BaseModel, Field, ValidationError
from scipy.optimize import bisect

from edgekit.architectures.cost import Cost, cost
from edgekit.architectures.registry import ARCHITECTURES
from edgekit.config.json_document import JsonDocument
from edgekit.errors import UsageError
from edgekit.recipe.schema import Recipe

SIDE = 8  # pixels: resolutions are rounded to multiples of it
GRID = tuple(round(1 + 0.05 * step, 2) for step in range(9))  # 1.0 to 1.4
DOUBLED = 2.0
PHI_STEP = 0.5
PHI_TOLERANCE = 1e-3


class Coefficients(BaseModel):
    """How depth (alpha), width (beta) and resolution (gamma) grow with a step of phi; the defaults are the paper's for B0."""

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    @property
    def product(self) -> float:
        """How multiply-adds grow with a step of phi, in theory: alpha * beta ** 2 * gamma ** 2."""
        return self.alpha * self.beta**2 * self.gamma**2


class Scaled(BaseModel):
    """A scaled model: by how much, what of, and its counted cost. `released` names the published network that it is."""

    phi: float
    depth: float
    width: float
    resolution: int
    parameters: int
    multiply_adds: int
    released: str = ""


class Candidate(BaseModel):
    """Coefficients of the grid search, and what one step of them really multiplies the counted multiply-adds by."""

    coefficients: Coefficients
    counted_ratio: float


class ScaleDocument(JsonDocument):
    """What ``edgekit scale --json`` prints; `written` are the recipe files."""

    base: str
    scaled: list[Scaled] = Field(default_factory=list)
    candidates: list[Candidate] = Field(default_factory=list)
    written: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Released:
    """A published member of a family, `step` members after its base."""

    family: str
    step: int
    model: str
    width: float
    depth: float
    resolution: int
    source: str


@cache
def released() -> tuple[Released, ...]:
    """Return the published scalings of EfficientNet, EfficientNet-Lite and EfficientNet-EdgeTPU, with their sources."""
    text = (files("edgekit.search") / "released_scalings.csv").read_text(encoding="utf-8")
    return tuple(
        Released(
            row["family"],
            int(row["step"]),
            row["model"],
            float(row["width"]),
            float(row["depth"]),
            int(row["resolution"]),
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def scale(base: Recipe, phi: float, coefficients: Coefficients | None = None) -> Scaled:
    """Scale `base` by `phi`; where its family was published and no `coefficients` are given, phi is the member's number.

    So EfficientNet-B0 at 1 to 7 is B1 to B7. Other bases, and B0 with coefficients, follow the formula. UsageError for an
    architecture without width or depth, and for a scaling that makes no model.
    """
    _check(base)
    if coefficients is None and (found := _member(base, phi)):
        arguments = {"depth": found.depth, "width": found.width, "resolution": found.resolution}
        return _counted(base, phi, arguments, found.model)
    chosen = coefficients or Coefficients()
    return _counted(base, phi, _by_formula(base, phi, chosen))


def within(base: Recipe, budget: float, coefficients: Coefficients | None = None) -> Scaled:
    """Scale `base` by the formula to the largest phi whose counted multiply-adds are at most `budget`.

    UsageError where even the smallest scaling that makes a model costs more.
    """
    _check(base)
    chosen = coefficients or Coefficients()
    if chosen.product == 1:
        raise UsageError("With alpha, beta and gamma of 1 nothing grows.", "Leave them out for the paper's.")

    def excess(phi: float) -> float:
        return _cost(base, _by_formula(base, phi, chosen)).multiply_adds - budget - 0.5

    low, high = _bracket(base, budget, excess)
    # The cost is a staircase: what bisection ends at lies within its tolerance of a step, so the side below is taken.
    phi = low if high is None else round(float(bisect(excess, low, high, xtol=PHI_TOLERANCE)), 3)
    while excess(phi) > 0:
        phi = round(phi - PHI_TOLERANCE, 3)
    return scale(base, phi, chosen)


def _bracket(base: Recipe, budget: float, excess: Callable[[float], float]) -> tuple[float, float | None]:
    """Return a phi that is within the budget and the next that is not, None where the next makes no model."""
    step = PHI_STEP if excess(0.0) <= 0 else -PHI_STEP
    phi = 0.0
    try:
        while (excess(phi + step) <= 0) == (step > 0):
            phi += step
    except UsageError as error:
        if step > 0:
            return phi, None
        raise UsageError(
            f"No scaling of {base.name} costs {budget:,.0f} multiply-adds or less; phi {phi:g} still costs "
            f"{excess(phi) + budget + 0.5:,.0f}.",
            "Take a smaller base, or a larger budget.",
        ) from error
    return (phi, phi + step) if step > 0 else (phi + step, phi)


def grid_search(base: Recipe, tolerance: float = 0.05) -> list[Candidate]:
    """Return the coefficients of a small grid that double the counted multiply-adds of `base`, nearest first.

    Each of alpha, beta and gamma is 1.0 to 1.4 in steps of 0.05; `tolerance` is relative. Which of them is best only training
    tells: the paper trained B0 with each and kept 1.2, 1.1, 1.15.
    """
    _check(base)
    own = _cost(base, {}).multiply_adds
    found = []
    for coefficients in _near_doubling():
        ratio = _cost(base, _by_formula(base, 1.0, coefficients)).multiply_adds / own
        if abs(ratio / DOUBLED - 1) <= tolerance:
            found.append(Candidate(coefficients=coefficients, counted_ratio=ratio))
    return sorted(found, key=lambda scaling: abs(scaling.counted_ratio - DOUBLED))


def recipe_of(base: Recipe, scaled: Scaled) -> Recipe:
    """Return the recipe of a scaled model: random weights, and the counted cost as its contract."""
    described = scaled.released or f"{base.name} scaled by phi {scaled.phi:g}"
    phi = f"{scaled.phi:g}".replace("-", "minus")
    name = f"{base.name}_phi{phi}"
    changed = _changed(base, {"depth": scaled.depth, "width": scaled.width, "resolution": scaled.resolution})
    contract = {"parameters": scaled.parameters, "multiply_adds": scaled.multiply_adds}
    return Recipe.model_validate(
        {
            **changed.model_dump(exclude={"sweep", "published"}),
            "name": name,
            "description": described,
            "weights": {"random": 0},
            "expect": {changed.model.variant: contract},
        }
    )


def _near_doubling() -> Iterator[Coefficients]:
    for alpha, beta, gamma in product(GRID, repeat=3):
        coefficients = Coefficients(alpha=alpha, beta=beta, gamma=gamma)
        if abs(coefficients.product / DOUBLED - 1) <= 0.1:
            yield coefficients


def _check(base: Recipe) -> None:
    if base.arguments.input_width not in {None, base.arguments.resolution}:
        raise UsageError(f"{base.name} has an input that is no square: only squares are scaled.")
    lacking = [option for option in ("width", "depth") if option not in ARCHITECTURES[base.architecture].takes]
    if lacking:
        scalable = [name for name, known in ARCHITECTURES.items() if {"width", "depth"} <= set(known.options or ())]
        raise UsageError(
            f"{base.name} cannot be scaled: {base.architecture} has no {' and no '.join(lacking)}.",
            f"What can: {', '.join(scalable)}.",
        )


def _member(base: Recipe, phi: float) -> Released | None:
    """Return the published member `phi` of the family that `base` begins; None where it begins none, or has no such member."""
    family = {network.step: network for network in released() if network.family == base.architecture}
    model = base.arguments
    begins = family and (model.width, model.depth, model.resolution) == (1.0, 1.0, family[0].resolution)
    return family.get(int(phi)) if begins and phi == int(phi) else None


def _by_formula(base: Recipe, phi: float, coefficients: Coefficients) -> dict[str, float]:
    model = base.arguments
    if phi == 0:
        return {"depth": model.depth, "width": model.width, "resolution": model.resolution}
    return {
        "depth": round((model.depth) * coefficients.alpha**phi, 3),
        "width": round(model.width * coefficients.beta**phi, 3),
        "resolution": max(SIDE, round(model.resolution * coefficients.gamma**phi / SIDE) * SIDE),
    }


def _changed(base: Recipe, arguments: dict[str, float]) -> Recipe:
    try:
        return base.changed(arguments)
    except ValidationError as error:
        problem = error.errors()[0]
        said = str(problem["msg"]).removeprefix("Value error, ")
        described = ", ".join(f"{name} {value:g}" for name, value in arguments.items())
        raise UsageError(
            f"{base.name} scaled to {described} is no model: {said}.", "Take a phi nearer to 0."
        ) from error


def _cost(base: Recipe, arguments: dict[str, float]) -> Cost:
    model = _changed(base, arguments).arguments
    return cost(base.architecture, model.size, **model.architecture_arguments())


def _counted(base: Recipe, phi: float, arguments: dict[str, float], name: str = "") -> Scaled:
    counted = _cost(base, arguments)
    return Scaled(
        phi=phi,
        **arguments,
        parameters=counted.parameters,
        multiply_adds=counted.multiply_adds,
        released=name,
    )
