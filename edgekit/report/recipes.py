"""The table of recipes: what each one builds, what it costs, and how accurate it is by its paper."""

from __future__ import annotations

from edgekit.recipe.files import RecipeLine, RecipesDocument
from edgekit.report.cells import published_accuracy
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.numbers import mega
from edgekit.report.sheet import Note, Report, Section

PROBLEM = "(see below)"


def _accuracy(line: RecipeLine) -> str | None:
    low, high, metric = line.accuracy_published_low, line.accuracy_published_high, line.accuracy_metric
    return None if low is None or high is None or metric is None else published_accuracy((low, high, metric))


def _description(line: RecipeLine) -> str:
    return PROBLEM if line.problem else line.description


COLUMNS: tuple[Column[RecipeLine], ...] = (
    BY_KEY["recipe"].of(lambda line: line.name),
    Column(
        "description",
        "Description",
        lambda line: line.description or None,
        _description,
        shown=shown("always"),
        rank=6,
        style=lambda line: "red" if line.problem else "",
    ),
    Column(
        "resolution",
        "Pixels",
        lambda line: line.resolution or None,
        align="right",
        shown=shown("present"),
        rank=2,
    ),
    BY_KEY["accuracy_published_low"].of(lambda line: line.accuracy_published_low, _accuracy, rank=2),
    BY_KEY["parameters"].of(
        lambda line: line.parameters,
        lambda line: None if line.parameters is None else mega(line.parameters, 2),
        rank=2,
    ),
    BY_KEY["multiply_adds"].of(
        lambda line: line.multiply_adds,
        lambda line: None if line.multiply_adds is None else mega(line.multiply_adds, 1),
        rank=2,
    ),
    BY_KEY["weights"].of(lambda line: line.weights or None, shown=shown("present"), rank=5),
    Column("file", "File", lambda line: line.file, shown=shown("always"), rank=8),
)
NOTES = (
    Note("Top-1 (published): of the papers' weights in float; a range if sources differ. Another metric is named."),
    Note("Params and MAdds (counted): of the recipe's contract. edgekit inspect RECIPE shows them by layer."),
)


def recipes_report(document: RecipesDocument) -> Report:
    """Return the table of recipes, with what is wrong in those that cannot be loaded."""
    problems = [Note(f"{line.name}: {line.problem}") for line in document.recipes if line.problem]
    return Report([Section(COLUMNS, document.recipes)], [*problems, *NOTES], empty="No recipe is found by name.")
