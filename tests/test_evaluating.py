"""The commands of docs/evaluating.md run as written, with the photos and weights that packages carry."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fetched import PACKAGES, ROOT, fetched

from edgekit.weights.checkpoints import import_checkpoint

SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/evaluating.md").read_text(), re.M | re.S))
WEIGHTS = {
    "ssd_v2_coco": ("ssd_mobilenet_v2_coco", "fcf7a22a"),
    "deeplabv3_v2_voc": ("deeplabv3_mobilenet_v2_dm05_voc", "72c51fac"),
}


@pytest.fixture
def run(tmp_path):
    """Run a section's commands in a folder like a checkout, whose `.cache/packages` is that of the tests."""
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/packages").symlink_to(PACKAGES)

    def section(name):
        commands = "".join(re.findall(r"```sh\n(.*?)```", SECTIONS[name], re.S))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path}
        return subprocess.run(
            ["bash", "-eu"], input=commands, text=True, capture_output=True, cwd=tmp_path, env=environment, check=False
        )

    return section


def test_classification(run, v2_checkpoint, labelled_photos):
    done = run("Classification")
    assert done.returncode == 0, done.stderr
    assert re.search(r"int8 (lost|gained|differs by) .* points of top1 against pytorch, p = .*\(n = 20\)", done.stdout)
    assert re.search(r"against tflite/xnnpack/fp32, p = .*\(n = 10\)", done.stdout)
    assert re.search(r"tflite/xnnpack/fp32 +90\.0 .* host", done.stdout)
    assert "top1_this_artifact" in done.stdout


@pytest.mark.parametrize(
    ("section", "recipe", "metric", "least"),
    [("Detection", "ssd_v2_coco", "mAP 50:95", 35), ("Segmentation", "deeplabv3_v2_voc", "mIoU", 35)],
)
def test_boxes_and_masks(run, section, recipe, metric, least):
    fetched(PACKAGES / "labelme-6.3.1/examples", "test")
    name, digits = WEIGHTS[recipe]
    import_checkpoint(fetched(PACKAGES / f"imported/{name}.safetensors", "test"), digits)
    done = run(section)
    assert done.returncode == 0, done.stderr
    assert f"{metric} % [95 %]" in done.stdout
    values = [
        float(value)
        for value in re.findall(r"^(?:tflite/xnnpack/fp32|pytorch) +([\d.]+) \[", done.stdout, re.MULTILINE)
    ]
    assert len(values) == 2
    assert min(values) >= least
    assert values[0] == pytest.approx(values[1], abs=0.5)
