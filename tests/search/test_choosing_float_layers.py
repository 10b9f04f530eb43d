"""Which k is chosen, and what is written. Builds and judgements are made up here; the last tests run the command."""

import json
from types import SimpleNamespace

import jsonschema
import pytest
import tiny
from click.testing import CliRunner

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import ParityResult
from edgekit.build.compile import Built
from edgekit.build.photos import photo_set
from edgekit.cli import cli
from edgekit.cli.quantize import conclusion
from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.recipe.files import destination, known_recipes, with_float_layers, write_float_layers
from edgekit.recipe.loading import load_recipe
from edgekit.schemas import committed
from edgekit.search import float_layers
from edgekit.search.float_layers import LayerEntry, Request, counts, quantize
from edgekit.target import Target

INT8 = "tflite/xnnpack/int8"
SENSITIVE = ["worst", "bad", "fair", "good", "better", "best"]
FAILURE = Failure(FailureKind.parity, "parity", "It differs.")


def parity(agreement):
    interval = None if agreement is None else (max(0.0, agreement - 0.1), min(1.0, agreement + 0.1))
    return ParityResult(
        kind="measured", photos=64, decisions=64, max_absolute=1, max_relative=1, snr_db=12, top1_agreement=0.5,
        clear_decisions=40, clear_agreement=agreement, agreement_interval=interval, passed=True, limits={},
    )  # fmt: skip


def artifact(agreement):
    return SimpleNamespace(manifest=SimpleNamespace(parity=parity(agreement), sha256="ab" * 32, size_bytes=1000))


@pytest.fixture
def recipe():
    return load_recipe("v2")


@pytest.fixture
def made_up(monkeypatch):
    """Return a function that makes the artifact with k float layers agree as ``agreements[k]`` says."""

    def install(agreements, failed=()):
        built = []

        def build(plan, progress, logs):
            names = plan.recipe.quantization.float_layers
            built.append(names)
            found = artifact(agreements[len(names)])
            return None, [Built(Target.parse(INT8), found, FAILURE if len(names) in failed else None)]

        monkeypatch.setattr(float_layers, "resolve", lambda weights: SimpleNamespace(trained=True))
        layers = [LayerEntry(name=name, snr_db=10.0 + index) for index, name in enumerate(SENSITIVE)]
        monkeypatch.setattr(float_layers, "_scan", lambda request, progress, logs: layers)
        monkeypatch.setattr(float_layers, "build_artifacts", build)
        monkeypatch.setattr(float_layers, "_time", lambda steps, progress: None)
        return built

    return install


def request(recipe, max_drop=0.5, **more):
    return Request(recipe=recipe, target=INT8, max_drop=max_drop, photos=photo_set(), jobs=1, **more)


def test_counts_double_and_end_with_all_layers():
    assert list(counts(11)) == [0, 1, 2, 4, 8, 11]
    assert list(counts(8)) == [0, 1, 2, 4, 8]
    assert list(counts(1)) == [0, 1]


def test_the_first_artifact_that_keeps_the_drop_is_chosen(recipe, ledger, made_up):
    built = made_up({0: 0.90, 1: 0.95, 2: 0.996, 4: 1.0})
    document = quantize(request(recipe), ledger, lambda line: None)
    assert built == [(), ("worst",), ("worst", "bad")]
    assert document.chosen == ["worst", "bad"]
    assert [entry.float_layers for entry in document.curve] == [0, 1, 2]
    assert [round(entry.drop.value, 1) for entry in document.curve] == [10, 5, 0.4]
    assert document.curve[0].quality.interval == pytest.approx((80, 100))
    assert document.curve[0].drop.interval == pytest.approx((0, 20))
    assert (document.judged_by, document.judged) == ("agreement", 40)


def test_the_float_layers_that_the_recipe_has_are_replaced(recipe, ledger, made_up):
    built = made_up({0: 1.0})
    old = load_recipe("v2", ("quantization.float_layers=[features.0.0]",))
    lines = []
    assert quantize(request(old), ledger, lines.append).chosen == []
    assert built == [()]
    assert "The search ignores the float_layers that the recipe has, and starts without any." in lines


def test_an_artifact_outside_parity_is_never_chosen(recipe, ledger, made_up):
    made_up({0: 1.0, 1: 1.0}, failed={0})
    document = quantize(request(recipe), ledger, lambda line: None)
    assert [(entry.within_parity, entry.kept) for entry in document.curve] == [(False, False), (True, True)]
    assert document.chosen == ["worst"]


def test_nothing_is_chosen_if_all_layers_in_float_lose_too_much(recipe, ledger, made_up):
    made_up(dict.fromkeys((0, 1, 2, 4, 6), 0.5))
    document = quantize(request(recipe), ledger, lambda line: None)
    assert document.chosen is None
    assert len(document.curve) == 5
    assert "No artifact loses at most 0.5. Nothing was written." in conclusion(document)


def test_without_clear_decisions_agreement_says_nothing(recipe, ledger, made_up):
    made_up({0: None})
    with pytest.raises(EdgekitError, match="decides clearly on none"):
        quantize(request(recipe), ledger, lambda line: None)


def test_accuracy_against_pytorch_judges_if_there_is_a_data_set(recipe, ledger, made_up, monkeypatch):
    from edgekit.evaluation.metrics import compare_top1, metrics_of_top5

    labels, exact = [0] * 100, [0] * 90 + [1] * 10
    made_up({0: 0.1, 1: 0.1})  # what the parity images say does not count
    evaluated = []

    def evaluate(asked, ledger, progress):
        kept = len(asked.recipe.quantization.float_layers)
        evaluated.append(asked.target)
        own = [0] * (87 + 3 * kept) + [1] * (13 - 3 * kept)
        comparison = compare_top1(own, exact, labels, "pytorch", "cd" * 32)
        metrics = metrics_of_top5([[answer] for answer in own], labels)
        result = SimpleNamespace(metric="top1", metrics=metrics, comparison=comparison, n=100, failed={"a.jpg": "bad"})
        return SimpleNamespace(results=[result])

    monkeypatch.setattr(float_layers, "evaluate", evaluate)
    monkeypatch.setattr(float_layers, "fitting_scorer", lambda asked: SimpleNamespace(metric="top1"))
    lines = []
    document = quantize(request(recipe, dataset=object(), available=100), ledger, lines.append)
    assert "warning: 1 photos could not be read and do not count" in lines
    assert evaluated == [INT8, INT8]
    assert [entry.drop.value for entry in document.curve] == pytest.approx([3, 0])
    low, high = document.curve[0].drop.interval
    assert low < 3 < high
    assert [entry.quality.value for entry in document.curve] == pytest.approx([87, 90])
    assert document.chosen == ["worst"]


def test_a_target_that_is_not_int8_is_refused(recipe, ledger):
    fp32 = Request(recipe=recipe, target="tflite/xnnpack/fp32", max_drop=1, photos=photo_set(), jobs=1)
    with pytest.raises(UsageError, match="has no layers in int8"):
        quantize(fp32, ledger, lambda line: None)


def test_random_weights_are_refused(ledger):
    random = load_recipe(tiny.RECIPE, tiny.SETTINGS)
    with pytest.raises(UsageError, match="v1 has random weights: its accuracy means nothing"):
        quantize(request(random), ledger, lambda line: None)


@pytest.mark.parametrize("name", sorted(known_recipes()))
def test_a_recipe_that_is_written_keeps_its_comments_and_every_line(name):
    path = known_recipes()[name]
    lines, old = with_float_layers(path, ["features.0.0", "a.1"]).splitlines(), path.read_text().splitlines()
    new = ["quantization:", "float_layers:", "- features.0.0", "- a.1"]
    assert [line for line in lines if line in old] == old
    assert [line.strip() for line in lines if line not in old] == new


def test_float_layers_of_a_recipe_are_replaced_when_it_is_written(tmp_path):
    path = tmp_path / "v2.yaml"
    path.write_text(known_recipes()["v2"].read_text() + "quantization: # why\n  float_layers: [features.0.0]\n")
    write_float_layers(path, ["features.1.conv.0.0"], path)
    assert load_recipe(str(path)).quantization.float_layers == ("features.1.conv.0.0",)
    assert "quantization: # why" in path.read_text()
    assert "features.0.0" not in path.read_text()


def test_where_a_recipe_is_written(tmp_path):
    path = tmp_path / "v2.yaml"
    path.write_text("name: v2")
    assert destination(str(path), None) == (path, path)
    assert destination(str(path), tmp_path / "new.yaml") == (path, tmp_path / "new.yaml")
    with pytest.raises(UsageError, match="exists already"):
        destination(str(path), path)
    with pytest.raises(UsageError, match="cannot be written"):
        destination(str(path), tmp_path / "none" / "new.yaml")


def run(*arguments):
    return CliRunner().invoke(cli, ["quantize", *map(str, arguments)], standalone_mode=False)


def test_the_command_writes_the_chosen_layers_and_json(recipe, made_up, tmp_path):
    made_up({0: 0.9, 1: 1.0})
    path = tmp_path / "v2.yaml"
    path.write_text(known_recipes()["v2"].read_text())
    dry = run(path, "--dry-run", "--json")
    assert json.loads(dry.stdout)["written"] is None
    assert load_recipe(str(path)).quantization.float_layers == ()
    done = run(path, "--json")
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(committed("quantize").read_text()))
    assert document["written"] == str(path)
    assert load_recipe(str(path)).quantization.float_layers == ("worst",)
    assert done.return_value == 0


def test_the_command_says_so_if_no_layer_is_needed(made_up, tmp_path):
    made_up({0: 1.0})
    path = tmp_path / "v2.yaml"
    text = known_recipes()["v2"].read_text()
    path.write_text(text)
    done = run(path)
    assert "int8 loses at most 0.5 without float layers. Nothing was written." in done.stdout
    assert path.read_text() == text
    assert "The true loss may be up to 10.0" in done.stdout
    assert done.return_value == 0


def test_the_command_fails_if_no_artifact_keeps_the_drop(made_up, tmp_path):
    made_up(dict.fromkeys((0, 1, 2, 4, 6), 0.5))
    assert run("v2", "--max-drop", 1).return_value == 1


@pytest.fixture
def trained_tiny(tmp_path):
    """A recipe of the tiny network with a checkpoint, and limits of parity that its weights keep."""
    import torch
    from ruamel.yaml import YAML

    from edgekit.build.prepare import build_model
    from edgekit.weights.checkpoints import import_checkpoint

    random = load_recipe(tiny.RECIPE, tiny.SETTINGS)
    settle = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).numpy()
    torch.save(build_model(random, None, 0, Inputs.of_images(settle)).state_dict(), tmp_path / "tiny.pth")
    checkpoint = import_checkpoint(tmp_path / "tiny.pth")
    content = random.model_dump(mode="json", exclude_defaults=True, exclude={"weights", "sweep", "published"})
    content["weights"] = {"file": checkpoint.name, "sha256": checkpoint.sha256}
    limits = {"min_snr_db": -99, "min_agreement": 0, "max_ties": 1, "max_saturation": 1}
    YAML().dump({**content, "parity": {"int8": limits}}, tmp_path / "tiny.yaml")
    return tmp_path / "tiny.yaml"


def test_a_tiny_network_goes_the_whole_way(trained_tiny, edgekit):
    done = edgekit("quantize", trained_tiny, "--max-drop", "100", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(committed("quantize").read_text()))
    ratios = [layer["snr_db"] for layer in document["layers"]]
    assert len(ratios) > 10
    assert ratios == sorted(ratios)
    (row,) = document["curve"]
    assert row["latency_ms"] > 0
    assert row["size_bytes"] > 10_000
    assert document["chosen"] == []
    assert document["judged"] > 0


@pytest.mark.slow
def test_mobilenet_v2_with_real_weights_loses_less_with_more_layers_in_float(v2_checkpoint, edgekit, tmp_path):
    path = tmp_path / "v2.yaml"
    path.write_text(known_recipes()["v2"].read_text())
    done = edgekit("quantize", path, "--max-drop", "0", "--json", timeout=3600)
    assert done.returncode in {0, 1}, done.stderr
    curve = json.loads(done.stdout)["curve"]
    assert curve[-1]["snr_db"] >= curve[0]["snr_db"]
    sizes = [row["size_bytes"] for row in curve]
    assert sizes == sorted(sizes)
