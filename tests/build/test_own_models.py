"""Networks of the user's own: from their code to verified artifacts, and errors that name the user's line."""

import json
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from edgekit.architectures import own
from edgekit.architectures.inputs import Inputs
from edgekit.build.examples import examples_of
from edgekit.build.jobs import DescribeJob
from edgekit.build.own_recipe import ask, describe
from edgekit.build.photos import default_photos
from edgekit.build.prepare import count_model, foreign_source_hash, own_network
from edgekit.cli import cli
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.ledger import Ledger
from edgekit.recipe.loading import load_recipe
from edgekit.recipe.own_model import is_source
from edgekit.recipe.schema import Recipe
from edgekit.recipe.weights import Weights
from edgekit.weights.checkpoints import resolve

EXAMPLE = Path(__file__).parents[2] / "examples" / "tiny_cnn.py"

NETWORKS = '''
import torch
from torch import nn


class Policy(nn.Module):
    """An image and a state; several results by name."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 8, 3, stride=2)
        self.act, self.judge = nn.Linear(18, 4), nn.Linear(18, 1)

    def forward(self, image, state):
        seen = torch.cat([self.look(image).relu().mean((2, 3)), state], 1)
        return {"action": self.act(seen), "value": self.judge(seen)}


class Spectrum(nn.Module):
    def forward(self, image):
        waves = torch.fft.rfft(image)
        return waves.abs().mean((2, 3))


class Deciding(nn.Module):
    def forward(self, image):
        if image.sum() > 0:
            return image.mean((2, 3))
        return image.amax((2, 3))


class Timm(nn.Module):
    """The part of timm's interface that says what a network expects."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 7)
        self.pretrained_cfg = {
            "input_size": (3, 48, 40), "interpolation": "bicubic", "crop_pct": 0.9, "num_classes": 7,
            "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "url": "", "first_conv": "conv_stem",
        }

    def forward(self, image):
        return self.head(image.mean((2, 3)))


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.look, self.judge = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 1)

    def forward(self, image):
        seen = self.look(image).relu().mean((2, 3))
        return {"seen": seen, "value": self.judge(torch.cat([seen], 1))}


policy, spectrum, deciding, timm, reused = Policy, Spectrum, Deciding, Timm, Reused


def vectors():
    return nn.Linear(10, 3)


def broken(classes=3):
    raise RuntimeError("the weights are on another disk")


def number():
    return 3


def listing():
    class Listing(nn.Module):
        def forward(self, image):
            return [image.mean((2, 3)), "text"]
    return Listing()
'''


@pytest.fixture
def networks(tmp_path):
    """A user's file with networks; returns function name -> source."""
    file = tmp_path / "networks.py"
    file.write_text(NETWORKS)
    return lambda function: f"{file}:{function}"


BUILD = "def build(): return nn.Conv2d(3, {}, 3)\n"
STATE = ("--input", "image=3x32x32", "--input", "state=10")


def recipe_of(source, inputs="3x32x32", **model):
    """Return a recipe for a source as a user would write it."""
    preprocessing = {"crop_fraction": 0.875, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
    content = {
        "name": "mine",
        "model": {"source": source, "inputs": inputs, **model},
        "weights": {"source": "untrained"},
    }
    return Recipe.model_validate({**content, "preprocessing": preprocessing})


def run(*arguments):
    """Run the command line in this process."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)


def own_failure(source):
    """Return why a source has no files."""
    with pytest.raises(EdgekitError) as caught:
        own.source_sha256(source)
    return caught.value.failure.message


def failure(source, inputs="3x32x32", **model):
    """Return what goes wrong with a source."""
    with pytest.raises(EdgekitError) as caught:
        count_model(recipe_of(source, inputs, **model))
    return caught.value.failure


def test_the_example_is_timed_by_one_command(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    command = ("deploy", f"{EXAMPLE}:build", "--device", "host", "--protocol", "emulated")
    done = run(*command, "--targets", "tflite/xnnpack/fp32,tflite/xnnpack/int8")
    assert done.return_value == 0, done.output
    assert done.output.index("note: this runs the code of") < done.output.index("98,970 parameters")
    with Ledger.open() as ledger:
        measured = {str(row.target): row for row in ledger.measurements()}
    assert measured.keys() == {"tflite/xnnpack/fp32", "tflite/xnnpack/int8"}


def test_several_inputs_go_through_every_runtime_and_are_timed(networks, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    done = run("deploy", networks("policy"), "--device", "host", "--protocol", "emulated", *STATE)
    assert done.return_value == 0, done.output
    assert "normal noise replaces" in done.output
    with Ledger.open() as ledger:
        manifests = {row.target: row.manifest for row in ledger.artifacts()}
        assert len(list(ledger.measurements())) == 4  # Core ML's is compiled only
    assert len(manifests) == 5
    for manifest in manifests.values():
        assert manifest["parity"]["passed"]
        assert sorted(len(one["shape"]) for one in manifest["inputs"]) == [2, 4]
        assert {one["name"] for one in manifest["outputs"]} == {"action", "value"}
        assert manifest["parity"]["top1_agreement"] is None


def test_a_recipe_is_written_with_its_contract_and_deploys(networks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(
        "recipe",
        "new",
        "mine",
        "--from",
        f"{Path(networks('policy')).name}",
        "--input",
        "image=3x32x32",
        "--input",
        "state=10",
    )
    assert done.exception is None, done.output
    text = (tmp_path / "recipes/mine.yaml").read_text()
    assert "source: ../networks.py:policy" in text
    assert "assumed" not in text
    recipe = load_recipe("mine")
    assert recipe.expectation
    assert recipe.expectation.parameters == sum(one.numel() for one in own_network(recipe).parameters())
    shown = run("inspect", "mine")
    assert "contract met" in shown.output
    assert shown.output.startswith("note: this runs the code of")
    changed = text.replace("parameters: ", "parameters: 1")
    (tmp_path / "recipes/mine.yaml").write_text(changed)
    assert run("inspect", "mine").return_value == 1


def test_what_timm_says_of_a_network_is_taken(networks):
    described = describe(networks("timm"), (), None, None, lambda line: None)
    recipe = described.recipe
    assert recipe.photos[1] == (48, 40)
    assert recipe.preprocessing.model_dump() == {
        "fit": "crop",
        "crop_fraction": 0.9,
        "interpolation": "bicubic",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
    }
    assert (recipe.task, recipe.classes, recipe.name) == ("classification", 7, "timm")


def test_an_exported_program_is_a_network_with_its_own_shapes(tmp_path):
    module = own.load_source(f"{EXAMPLE}:build", {})
    file = tmp_path / "tiny.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 96, 96),)), file)
    answer = ask(DescribeJob(source=str(file), inputs={}, name="tiny"))["recipe"]
    recipe = Recipe.model_validate({**answer, "weights": {"source": "trained"}})
    assert recipe.photos[1] == (96, 96)
    image = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(own_network(recipe)(image), module(image))
    assert recipe.expectation
    by_module = ask(DescribeJob(source=f"{EXAMPLE}:build", inputs={}, name="tiny"))["recipe"]["expect"]["3x96x96"]
    assert recipe.expectation.model_dump() == by_module


def test_a_checkpoint_of_the_users_is_loaded_from_its_wrapper(tmp_path):
    trained = own.load_source(f"{EXAMPLE}:build", {})
    saved = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in trained.state_dict().items()}}
    torch.save(saved, tmp_path / "my.pth")
    done = run("compile", f"{EXAMPLE}:build", "--weights", str(tmp_path / "my.pth"), "--targets", "tflite/xnnpack/fp32")
    assert done.return_value == 0, done.output
    assert "weights my.pth (entry state_dict, prefix module.)" in done.output


@pytest.mark.parametrize(
    ("function", "said", "place"),
    [
        ("broken", "RuntimeError: the weights are on another disk", r"networks\.py:\d+: raise RuntimeError"),
        ("number", "number() returned int instead of a torch.nn.Module", ""),
        ("listing", "the network returns Tensor, str", ""),
        ("polcy", "has no function polcy", ""),
    ],
)
def test_an_error_in_the_users_code_is_theirs_and_names_the_line(networks, function, said, place):
    found = failure(networks(function))
    assert found.kind is FailureKind.own_model
    assert said in found.message
    assert re.search(place, found.message)
    assert "bug" not in found.message + found.hint


def test_a_network_that_does_not_take_its_inputs_names_the_line(networks):
    found = failure(networks("policy"), {"image": "3x32x32", "state": [7]})
    assert "running it on image 3x32x32, state 7 raised RuntimeError" in found.message
    assert "networks.py" in found.message


def test_options_are_arguments_of_the_function(networks):
    assert own_network(recipe_of(f"{EXAMPLE}:build", "3x96x96", options={"channels": 8})).features[0].out_channels == 8
    found = failure(networks("policy"), options={"depth": 3})
    assert "unexpected keyword argument 'depth'" in found.message


def test_a_syntax_error_is_found_at_its_line(tmp_path):
    (tmp_path / "wrong.py").write_text("def build():\n    return (\n")
    found = failure(f"{tmp_path / 'wrong.py'}:build")
    assert "SyntaxError" in found.message
    assert "wrong.py:2" in found.message


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        ("spectrum", r"fft_rfft \(.*networks\.py:21: waves = torch\.fft\.rfft"),
        ("deciding", r"networks\.py:\d+: if image\.sum\(\) > 0"),
    ],
)
def test_what_cannot_be_converted_is_named_with_its_line(networks, function, operator):
    done = run("compile", networks(function), "--input", "3x32x32", "--targets", "coreml/-/fp16")
    assert done.return_value == 1
    said = " ".join(done.output.split())
    assert "operator not supported" in said
    assert re.search(operator, said), said


def test_a_shape_must_be_said_if_the_code_does_not(networks):
    with pytest.raises(EdgekitError, match="does not say what its inputs are") as caught:
        describe(networks("policy"), (), None, None, lambda line: None)
    assert "--input 3x224x224" in caught.value.failure.hint
    with pytest.raises(UsageError, match="without the batch dimension"):
        run("compile", networks("policy"), "--input", "3,32,32")


def test_neighbours_of_the_file_are_imported_and_count_for_the_cache(tmp_path):
    (tmp_path / "layers.py").write_text("from torch import nn\nwidth = 4\n")
    (tmp_path / "net.py").write_text(f"from torch import nn\nfrom layers import width\n{BUILD.format('width')}")
    recipe = recipe_of(f"{tmp_path / 'net.py'}:build")
    before = foreign_source_hash(recipe)
    assert own_network(recipe).out_channels == 4
    (tmp_path / "layers.py").write_text("from torch import nn\nwidth = 5\n")
    assert foreign_source_hash(recipe) != before
    sys.modules.pop("layers")


def test_a_virtual_environment_beside_the_file_is_not_the_users_code(tmp_path):
    package = tmp_path / "env/lib/site-packages/other.py"
    package.parent.mkdir(parents=True)
    (tmp_path / "env/pyvenv.cfg").touch()
    package.write_text("def fail(): raise RuntimeError('deep inside')\n")
    (tmp_path / "net.py").write_text(
        "import sys\nsys.path.insert(0, __file__.replace('net.py', 'env/lib/site-packages'))\n"
        "def build():\n    import other\n    other.fail()\n"
    )
    source = f"{tmp_path / 'net.py'}:build"
    before = own.source_sha256(source)
    assert "net.py:5: other.fail()" in failure(source).message
    package.write_text("changed\n")
    assert own.source_sha256(source) == before
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/net.py").touch()  # of the same name, in another folder
    assert own.source_sha256(source) != before


def test_a_function_of_a_module_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/nets.py").write_text(f"from torch import nn\n{BUILD.format(6)}")
    assert own_network(recipe_of("mine.nets:build")).out_channels == 6
    assert len(own.source_sha256("mine.nets:build")) == 64
    assert "there is no module named yours" in own_failure("yours.nets:build")


def test_a_network_of_vectors_has_a_recipe_that_loads(networks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("recipe", "new", "vectors", "--from", "networks.py:vectors", "--input", "signal=10")
    assert done.exception is None
    recipe = load_recipe("vectors")
    assert recipe.expectation
    assert (recipe.model.variant, recipe.expectation.multiply_adds) == ("10", 30)
    with pytest.raises(UsageError, match=r"'1\.0/224x' is not a variant; write the shapes of the inputs"):
        load_recipe("vectors", ("expect={1.0/224x: {parameters: 1, multiply_adds: 1}}",))


def test_weights_of_the_users_own_code_count_as_they_say():
    assert resolve(Weights(source="trained")).trained
    assert not resolve(Weights(source="untrained")).trained


def test_the_accuracy_of_an_own_network_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    for name in ("3", "7"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        data = np.random.default_rng(int(name)).integers(0, 255, (120, 110, 3), np.uint8)
        Image.fromarray(data).save(tmp_path / "photos" / name / "a.png")
    data = ("--data", str(tmp_path / "photos"), "--target", "tflite/fp32", "--json")
    done = run("evaluate", f"{EXAMPLE}:build", *data)
    assert done.exception is None
    (ours,) = [one for one in json.loads(done.stdout)["results"] if one["target"] == "tflite/xnnpack/fp32"]
    assert ours["n"] == 2


def test_an_output_that_the_network_reads_itself_is_named(networks):
    done = run("compile", networks("reused"), "--input", "3x32x32", "--target", "tflite/int8")
    assert done.return_value == 1
    assert "The quantizer lost the output" in " ".join(done.output.split())


def test_the_hash_of_a_recipe_does_not_depend_on_the_folder(tmp_path):
    sources = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"from torch import nn\n{BUILD.format(4)}")
        sources.append(recipe_of(f"{tmp_path / folder / 'net.py'}:build"))
    assert sources[0].model_hash == sources[1].model_hash
    assert foreign_source_hash(sources[0]) == foreign_source_hash(sources[1])


def test_values_of_the_users_are_the_examples_of_an_input(networks, tmp_path):
    values = np.arange(40, dtype=np.float32).reshape(4, 10)
    np.save(tmp_path / "state.npy", values)
    inputs = {"image": "3x32x32", "state": {"shape": [10], "values": str(tmp_path / "state.npy")}}
    found = examples_of(recipe_of(networks("policy"), inputs), default_photos(), random=True)
    np.testing.assert_array_equal(found.calibration.arrays["state"], values[:2])
    np.testing.assert_array_equal(found.parity.arrays["state"], values[2:])  # never those of calibration
    assert len(found.parity) == len(found.parity.arrays["image"]) == 2
    inputs["state"]["shape"] = [9]
    with pytest.raises(EdgekitError, match=r"shape \(4, 10\)"):
        examples_of(recipe_of(networks("policy"), inputs), default_photos(), random=True)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"source": "net.py"}, "path/to/file.py:function"),
        ({"inputs": "3by96"}, "3x96x96"),
        ({"inputs": {}}, "at least one input"),
        ({"width": 0.5}, "unknown key model.width"),
    ],
)
def test_a_wrong_source_in_a_recipe_is_explained(tmp_path, model, said):
    lines = {"source": "net.py:build", "inputs": "3x96x96", **model}
    text = f"name: mine\nmodel: {lines}\nweights: {{random: 0}}\n" + textwrap.dedent("""
        preprocessing: {crop_fraction: 0.875, interpolation: bilinear, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
    """)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_recipe(str(tmp_path / "mine.yaml"))
    assert said in caught.value.failure.message
    assert "line 2" in caught.value.failure.message


def test_names_of_recipes_are_no_sources():
    assert all(map(is_source, ("net.py:build", "a/b/net.py:build", "package.module:build", "package:build", "net.pt2")))
    assert not any(map(is_source, ("v2", "recipes/v2.yaml", "v3_large", "net.py", "1:2")))


def test_examples_are_one_row_per_example():
    inputs = Inputs({"image": np.zeros((5, 3, 4, 4), np.float32), "state": np.ones((5, 2), np.float32)})
    assert len(inputs) == 5
    assert [one.arrays["state"].shape for one in inputs] == [(1, 2)] * 5
    assert inputs.channels_last().arrays["image"].shape == (5, 4, 4, 3)
    assert inputs.values_each == 50
