import json
import os
from importlib.resources import files

import jsonschema
import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import UsageError
from edgekit.recipe.loading import known_recipes


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(cli, arguments, standalone_mode=False)

    return invoke


def schema(name):
    return json.loads((files("edgekit") / "schemas" / f"{name}.schema.json").read_text())


def test_json_holds_everything_and_fits_its_schema(run):
    done = run("inspect", "v1", "--peak-gflops", "20", "--bandwidth-gbs", "10", "--format", "json")
    document = json.loads(done.output)
    jsonschema.validate(document, schema("inspect"))
    (entry,) = document["recipes"]
    assert entry["full_convolutions"] == {"kind": "derived", "parameters": 29294088, "multiply_adds": 4867293184}
    assert entry["memory"]["peak_activations"]["bytes"] == 4816896
    assert entry["roofline"]["kind"] == "estimated"
    assert len(entry["roofline"]["layers"]) == 28
    assert json.loads(run("inspect", "v1", "--json").output)["recipes"][0]["layers"] == entry["layers"]


def test_a_sweep_is_a_table_with_a_line_per_combination(run):
    done = run("inspect", "v1", "--sweep", "width=1.0,0.5", "--sweep", "resolution=224,128")
    assert [variant in done.output for variant in ("1.0/224", "1.0/128", "0.5/224", "0.5/128")] == [True] * 4
    assert "49,160,192" in done.output
    assert "depthwise" not in done.output


def test_a_sweep_exits_with_1_where_a_contract_is_broken(run, tmp_path):
    text = (files("edgekit").parent / "recipes/v1.yaml").read_text().replace("1331592", "1")
    (tmp_path / "broken.yaml").write_text(text)
    assert run("inspect", str(tmp_path / "broken.yaml"), "--sweep", "width=1.0").return_value == 0
    done = run("inspect", str(tmp_path / "broken.yaml"), "--sweep", "width=1.0,0.5", "--json")
    assert done.return_value == 1
    assert [entry["contract"] for entry in json.loads(done.output)["recipes"]] == ["met", "broken"]


def test_a_sweep_takes_all_its_values_after_one_option_or_from_the_recipe(run):
    both = run("inspect", "v1", "--sweep", "width=1.0,0.5", "resolution=224,128", "--json")
    assert len(json.loads(both.output)["recipes"]) == 4
    assert len(json.loads(run("inspect", "v2", "--json", "--sweep").output)["recipes"]) == 22


@pytest.fixture
def few(monkeypatch):
    """Only some recipes are known; all of them are counted in tests/cli/test_cli.py."""
    known = {name: path for name, path in known_recipes().items() if name in {"v1", "v2", "ssdlite_v2", "lraspp_v2"}}
    monkeypatch.setattr("edgekit.recipe.loading.known_recipes", lambda: known)
    return known


def test_one_broken_recipe_hides_none_of_the_others(run, tmp_path, few):
    (tmp_path / "broken.yaml").write_text("name: broken\n")
    few["broken"] = tmp_path / "broken.yaml"
    done = run("inspect", "--all", "--json")
    assert done.return_value == 2
    document = json.loads(done.output)
    jsonschema.validate(document, schema("inspect"))
    assert [problem["name"] for problem in document["problems"]] == ["broken"]
    assert {"v1", "v2"} < {entry["name"] for entry in document["recipes"]}
    assert "broken: " in run("inspect", "--all").output


def test_markdown_is_a_table_that_a_page_can_hold(run, few):
    done = run("inspect", "--all", "--format", "markdown")
    header, rule, *rows = done.output.splitlines()
    assert header.startswith("| recipe")
    assert set(rule) == set("|:-")
    assert all(row.count("|") == header.count("|") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--all", "--sweep", "width=1"), "--sweep needs exactly one recipe"),
        (("v1", "width=1"), "write --sweep before it"),
        (("v1", "v2"), "Name one recipe"),
        (("v1", "--peak-gflops", "2"), "needs both"),
        (("v1", "--sweep", "width=1", "--peak-gflops", "2", "--bandwidth-gbs", "1"), "estimated for one recipe"),
        (("--all", "--peak-gflops", "2", "--bandwidth-gbs", "1"), "estimated for one recipe"),
    ],
)
def test_what_does_not_go_together_says_so(run, arguments, said):
    error = run("inspect", *arguments).exception
    assert isinstance(error, UsageError)
    assert said in error.failure.message


def test_recipes_lists_them_for_people_and_for_machines(run):
    shown = run("recipes").output
    for part in ("v3_small_minimalistic", "MobileNetV2 1.0/224", "checkpoint, else random(0)"):
        assert part in shown
    document = json.loads(run("recipes", "--json").output)
    jsonschema.validate(document, schema("recipes"))
    assert {"v1", "v2"} <= {line["name"] for line in document["recipes"]}


def test_recipes_lists_a_broken_one_and_one_whose_name_is_not_utf8(edgekit, tmp_path):
    odd = os.fsdecode(b"odd\xff")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / f"{odd}.yaml").write_text("name: [")
    shown = edgekit("recipes", cwd=tmp_path).stdout
    assert "odd\\udcff: recipe error: recipes/odd\\udcff.yaml, line " in shown
    lines = json.loads(edgekit("recipes", "--json", cwd=tmp_path).stdout)["recipes"]
    assert {line["name"] for line in lines if line["problem"]} == {"odd\\udcff"}


@pytest.mark.parametrize("kind", ["folder", "link to nothing"])
def test_a_path_that_is_no_file_is_told(run, tmp_path, kind):
    path = tmp_path / "it.yaml"
    path.mkdir() if kind == "folder" else path.symlink_to("nowhere")
    assert f"it is a {kind}" in run("inspect", str(path)).exception.failure.message


def test_a_new_recipe_can_be_inspected_at_once(edgekit, tmp_path):
    done = edgekit("recipe", "new", "mine", "--architecture", "mobilenet_v2", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "recipes/mine.yaml\n")
    assert "contract met" in edgekit("inspect", "mine", cwd=tmp_path).stdout
    again = edgekit("recipe", "new", "mine", cwd=tmp_path)
    assert again.returncode == 2
    assert "There is a recipe named mine already: recipes/mine.yaml." in again.stderr
