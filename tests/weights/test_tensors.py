"""One checkpoint as training scripts save it. The cases are from public bug reports: wrappers, prefixes, EMA, NaN, integers."""

import argparse
import json
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekit.architectures.registry import build
from edgekit.cache.store import file_sha256
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.loading import load_recipe
from edgekit.weights.checkpoints import load_checkpoint
from edgekit.weights.tensors import check_finite_outputs
from tests.tiny import OPTIONS

torch.manual_seed(1)
SOURCE = build("mobilenet_v1", width=0.25).state_dict()
WEIGHT = "features.0.0.weight"


def prefixed(prefix):
    return {prefix + key: value for key, value in SOURCE.items()}


def averaged():
    return {"n_averaged": torch.tensor(7), **{key: value + 1 for key, value in prefixed("module.").items()}}


def changed(key, value):
    tensor = SOURCE[key].clone()
    tensor.view(-1)[0] = value
    return {**SOURCE, key: tensor}


def integers():
    round_ = {key: value.round().to(torch.int8) for key, value in SOURCE.items() if value.ndim == 4}
    return {**SOURCE, **round_}


@pytest.fixture
def load(tmp_path):
    """Save a checkpoint, load it into a fresh model, and return the model's state and the part that was loaded."""

    def load(content, **choice):
        path = tmp_path / ("0" * 64 + "-net.pth")
        torch.save(content, path)
        model = build("mobilenet_v1", width=0.25)
        part = load_checkpoint(model, path, None, **choice)
        return model.state_dict(), part

    return load


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (SOURCE, ""),
        (prefixed("module."), "prefix module."),
        (prefixed("_orig_mod."), "prefix _orig_mod."),
        (prefixed("_orig_mod.module."), "prefix _orig_mod.module."),
        ({"state_dict": SOURCE}, "entry state_dict"),
        (
            {"epoch": 89, "arch": "mobilenet_v1", "state_dict": prefixed("module.")},
            "entry state_dict, prefix module.",
        ),
        ({"epoch": 89, "best_acc1": np.float64(71.8), "state_dict": SOURCE}, "entry state_dict"),
        ({"best": np.int64(3), "args": argparse.Namespace(lr=0.1), "model": SOURCE}, "entry model"),
        ({"n_averaged": torch.tensor(7), **prefixed("module.")}, "prefix module."),
        (
            {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.5", "hyper_parameters": {}},
            "entry state_dict, prefix model.",
        ),
    ],
)
def test_a_training_scripts_checkpoint_loads_and_its_part_is_named(load, content, part):
    state, named = load(content)
    assert named == part
    assert all(torch.equal(value, SOURCE[key]) for key, value in state.items())


def test_safetensors_have_prefixes_too(tmp_path):
    path = tmp_path / ("0" * 64 + "-net.safetensors")
    save_file(prefixed("module."), path)
    assert load_checkpoint(build("mobilenet_v1", width=0.25), path, None) == "prefix module."


def test_a_prefix_is_removed_before_names_are_mapped(tmp_path):
    from edgekit.architectures.key_maps import read_key_map

    rows = read_key_map("edgekit.architectures", "torchvision_mobilenet_v3_small")
    ours, names = build("mobilenet_v3_small").state_dict(), {row["edgekit"]: row["torchvision"] for row in rows}
    path = tmp_path / ("0" * 64 + "-v3.pth")
    torch.save({f"module.{names[key]}": value for key, value in ours.items()}, path)
    model = build("mobilenet_v3_small")
    assert load_checkpoint(model, path, "torchvision_mobilenet_v3_small") == "prefix module."
    assert all(torch.equal(value, ours[key]) for key, value in model.state_dict().items())


def test_between_a_model_and_its_average_the_recipe_chooses(load):
    both = {"model": SOURCE, "model_ema": averaged()}
    with pytest.raises(EdgekitError, match="has several sets of tensors") as raised:
        load(both)
    assert "`weights.entry`, one of model, model_ema" in raised.value.failure.hint
    assert load(both, entry="model")[1] == "entry model"
    state, part = load(both, entry="model_ema")
    assert part == "entry model_ema, prefix module."
    assert torch.equal(state[WEIGHT], SOURCE[WEIGHT] + 1)
    with pytest.raises(EdgekitError, match="has no entry ema of tensors"):
        load(both, entry="ema")


def test_an_entry_of_an_unusual_name_is_chosen_by_the_recipe(load):
    with pytest.raises(EdgekitError, match="no entry with a usual name") as raised:
        load({"generator": SOURCE})
    assert "one of generator" in raised.value.failure.hint
    assert load({"generator": SOURCE}, entry="generator")[1] == "entry generator"


def test_one_prefix_of_several_is_chosen_by_the_recipe(load):
    two = {**prefixed("student."), "loss.weight": torch.zeros(1)}
    with pytest.raises(EdgekitError, match="does not fit the model") as raised:
        load(two)
    assert "`weights.prefix`. Found: student. (" in raised.value.failure.hint
    assert load(two, prefix="student.")[1] == "prefix student."
    with pytest.raises(EdgekitError, match=r"`weights\.prefix` teacher\.") as raised:
        load(two, prefix="teacher.")
    assert raised.value.failure.hint == "Names begin with: loss., student."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed(WEIGHT, float("nan")), f"NaN or infinite values in {WEIGHT}"),
        (changed("classifier.1.weight", float("inf")), r"NaN or infinite values in classifier\.1\.weight"),
        (changed("features.0.1.running_var", float("nan")), r"in features\.0\.1\.running_var"),
        (
            {**SOURCE, WEIGHT: torch.full(SOURCE[WEIGHT].shape, 1e300, dtype=torch.float64)},
            f"infinite values in {WEIGHT}",
        ),
        (integers(), f"{WEIGHT} holds int8, not floats"),
    ],
)
def test_values_that_are_not_finite_and_integers_are_refused_by_name(load, content, said):
    with pytest.raises(EdgekitError, match=said) as raised:
        load(content)
    assert raised.value.failure.kind == FailureKind.recipe


def test_a_new_head_replaces_a_head_that_is_not_finite(load):
    state, _ = load(changed("classifier.1.weight", float("nan")), new_head=True)
    assert state["classifier.1.weight"].isfinite().all()


def test_a_class_that_would_run_code_is_named(load):
    with pytest.raises(EdgekitError, match=r"needs the class .*Thread") as raised:
        load({"state_dict": SOURCE, "hook": threading.Thread})
    assert "model.state_dict()" in raised.value.failure.hint


def test_outputs_that_are_not_finite_are_refused():
    check_finite_outputs({"logits": np.zeros(3)}, "net")
    with pytest.raises(EdgekitError, match="output logits of net holds NaN"):
        check_finite_outputs({"logits": np.array([0, np.nan])}, "net")


def test_random_weights_have_no_entry():
    with pytest.raises(UsageError, match="not both"):
        load_recipe("v1", ("weights={random: 0, entry: model}",))


TINY = load_recipe(OPTIONS[0], tuple(OPTIONS[2::2]))


def tiny_state():
    return build(TINY.architecture, **TINY.model.architecture_arguments()).state_dict()


def compile_with(state, edgekit, tmp_path):
    """Compile a recipe of the tiny network with a checkpoint, in a cache of its own."""
    torch.save(state, tmp_path / "net.pth")
    weights = {"file": "net.pth", "sha256": file_sha256(tmp_path / "net.pth")}
    content = TINY.model_dump(mode="json", exclude={"sweep", "published"}, exclude_none=True) | {"weights": weights}
    (tmp_path / "net.yaml").write_text(json.dumps(content))
    own = {"EDGEKIT_CACHE": str(tmp_path / "cache"), "EDGEKIT_LEDGER": f"sqlite:///{tmp_path}/ledger.db"}
    assert edgekit("weights", "import", tmp_path / "net.pth", env=own).returncode == 0
    return edgekit("compile", tmp_path / "net.yaml", "--targets", "tflite/xnnpack/fp32", "--json", env=own)


def test_the_part_of_a_checkpoint_is_in_progress_and_manifest(edgekit, tmp_path):
    state = {"state_dict": {f"module.{key}": value for key, value in tiny_state().items()}}
    done = compile_with(state, edgekit, tmp_path)
    assert "weights net.pth (entry state_dict, prefix module.)" in done.stderr
    assert '"weights": "net.pth (entry state_dict, prefix module.)"' in done.stdout


def test_nothing_is_compiled_if_pytorchs_outputs_are_not_finite(edgekit, tmp_path):
    state = tiny_state()
    variance = next(key for key in state if key.endswith("running_var"))
    state[variance] = state[variance] - 2  # finite, and its root is not
    done = compile_with(state, edgekit, tmp_path)
    assert done.returncode == 1
    assert "holds NaN or infinite values for a photo" in done.stderr
