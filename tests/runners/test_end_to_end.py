"""End to end: the native runners' preprocessing is Pillow's, is timed, and is compared before any latency is reported."""

import json
import platform
import subprocess

import numpy as np
import pytest

from edgekit.build.frame import expected_input, frame_plan, write_frame
from edgekit.build.photos import photo_set
from edgekit.errors import EdgekitError, FailureKind
from edgekit.pipeline import Plan, build_artifacts
from edgekit.pipeline import device_check as tiny
from edgekit.pipeline.end_to_end import compare_frame
from edgekit.recipe.loading import load_recipe
from edgekit.recipe.schema import Preprocessing
from edgekit.runners import read_events
from edgekit.runners.bundle import command

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
WAYS = {
    "crop": Preprocessing(crop_fraction=0.875, interpolation="bilinear", **IMAGENET),
    "bicubic": Preprocessing(crop_fraction=0.9, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3),
    "stretch": Preprocessing(fit="stretch", crop_fraction=1, interpolation="bilinear", **IMAGENET),
}


@pytest.fixture(scope="module", params=["tflite/xnnpack/fp32", "executorch/xnnpack/fp32"])
def artifact(request, tmp_path_factory):
    plan = Plan.of(load_recipe(*tiny.TINY), [request.param], photo_set())
    _, (built,) = build_artifacts(plan, lambda line: None, tmp_path_factory.mktemp("logs"))
    return built.artifact


@pytest.fixture
def run(artifact, capsule, tmp_path):
    np.zeros(artifact.manifest.inputs[0].shape, np.float32).tofile(tmp_path / "in.bin")
    write_frame(tmp_path / "frame.rgb")
    runner = command(str(capsule), platform.machine(), artifact.target.backend)

    def done(*options, check=True):
        arguments = (*runner, "--model", artifact.path, "--input", tmp_path / "in.bin", "--iterations", "5", *options)
        finished = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=check)
        return {event["event"]: event for event in read_events(finished.stdout)}

    return done


@pytest.mark.parametrize("way", WAYS)
def test_the_frame_becomes_what_pillow_makes_of_it_to_the_last_bit(way, run, artifact, tmp_path):
    layout = artifact.manifest.inputs[0].layout
    plan = frame_plan(WAYS[way], (64, 64), layout)
    events = run("--frame", tmp_path / "frame.rgb", "--frame-plan", plan, "--preprocessed", tmp_path / "made.bin")
    assert events["done"]["scope"] == "end-to-end"
    made, expected = np.fromfile(tmp_path / "made.bin", np.float32), expected_input(WAYS[way], (64, 64), layout)
    np.testing.assert_array_equal(made, expected)
    assert np.ptp(expected) > 1  # the frame is a photo


def test_without_a_frame_the_inference_alone_is_timed(run):
    assert run()["done"]["scope"] == "inference"


@pytest.mark.parametrize(
    "wrong", ["1,2,3", "640,480,64,64,0,0,65,64,0,0,0,0,0,1,1,1", "640,480,64,64,-1,0,9,9,0,0,0,0,0,1,1,1"]
)
def test_a_plan_that_does_not_fit_is_an_error(wrong, run, tmp_path):
    events = run("--frame", tmp_path / "frame.rgb", "--frame-plan", wrong, check=False)
    assert "is not understood" in events["error"]["message"]
    events = run("--frame", tmp_path / "frame.rgb", check=False)
    assert "belong together" in events["error"]["message"]


class Wrong:
    """A device whose runner made an input that differs by `apart`."""

    class profile:
        name = "lab"

    def __init__(self, apart):
        self.apart = apart

    def pull(self, remote, local):
        values = expected_input(WAYS["crop"], (64, 64), "NHWC")
        values[100] += self.apart
        values.tofile(local)


@pytest.mark.parametrize(
    ("apart", "fits"), [(0.0, True), (1 / 255 / 0.225, True), (2 / 255 / 0.224, False), (float("nan"), False)]
)
def test_a_wrong_input_is_a_failure_before_any_latency(apart, fits, tmp_path):
    class recipe:
        photos = (WAYS["crop"], (64, 64))

    class ready:
        class plan:
            pass

        class artifact:
            class manifest:
                class first:
                    layout = "NHWC"

                inputs = (first,)

    ready.plan.recipe = recipe

    class subject:
        name = "tflite/xnnpack/fp32"

        class frame:
            preprocessed = "made.bin"

    if fits:
        compare_frame(Wrong(apart), subject, ready, tmp_path)
        return
    with pytest.raises(EdgekitError, match="the frame became another input") as error:
        compare_frame(Wrong(apart), subject, ready, tmp_path)
    assert error.value.failure.kind is FailureKind.parity


def test_the_command_line_times_end_to_end_beside_the_inference_and_mixes_no_tables(edgekit, capsule, ledger):
    command_line = (
        "deploy",
        *tiny_options(),
        "--device",
        "host",
        "--protocol",
        "quick",
        "--device-option",
        "runner=native",
    )
    plain = json.loads(edgekit(*command_line, "--json").stdout)["measurements"][0]
    whole = json.loads(edgekit(*command_line, "--scope", "end-to-end", "--json").stdout)["measurements"][0]
    assert (plain["protocol"], whole["protocol"]) == ("quick", "quick+end-to-end")
    assert (plain["conditions"]["scope"], whole["conditions"]["scope"]) == ("inference", "end-to-end")
    assert whole["latency_ms"] > plain["latency_ms"]
    python = edgekit("deploy", *tiny_options(), "--device", "host", "--protocol", "quick", "--scope", "end-to-end")
    assert python.returncode == 1
    assert "only edgekit's native runners preprocess frames" in python.stderr + python.stdout


def tiny_options():
    name, settings = tiny.TINY
    return (name, "--target", "tflite/xnnpack/fp32", *(word for one in settings for word in ("--set", one)))
