import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import UsageError
from edgekit.recipe.loading import load_recipe
from edgekit.schemas import schemas


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(cli, ["scale", *arguments], standalone_mode=False)


def test_a_range_of_phi_is_a_row_each(run):
    done = run("efficientnet_b0", "--phi", "1..3")
    for part in ("as released: EfficientNet-B3", "1,827,141,392", "300"):
        assert part in done.output


def test_recipes_are_written_and_can_be_inspected(run, tmp_path):
    done = run("v2", "--budget", "400e6", "--output", str(tmp_path), "--json")
    document = json.loads(done.stdout)
    jsonschema.validate(document, schemas()["scale"])
    (file,) = document["written"]
    assert load_recipe(file).expectation.multiply_adds == document["scaled"][0]["multiply_adds"] <= 400e6
    assert "Their weights are random: the checkpoint of v2 fits only its own size." in done.stderr
    assert Path(file).read_text().startswith("# Written by `edgekit scale`: v2 at phi ")
    again = run("v2", "--budget", "400e6", "--output", str(tmp_path)).exception
    assert "exists already" in again.failure.message


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give one of"),
        (("--phi", "1", "--budget", "1e9"), "Give one of"),
        (("--phi", "big"), "write a number"),
        (("--phi", "3..1"), "the last must be larger than the first"),
        (("--phi", "nan"), "models are too large to build"),
        (("--phi", "1..5000"), "models are too large to build"),
        (("--grid", "--output", "somewhere"), "writes no recipe"),
    ],
)
def test_what_makes_no_sense_is_told(run, arguments, said):
    error = run("v2", *arguments).exception
    assert isinstance(error, UsageError)
    assert said in error.failure.message
