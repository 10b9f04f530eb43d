"""The job of docs/comparing.md, run as a continuous integration runs it, on ledgers whose truth is known."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fetched import ROOT
from ruamel.yaml import YAML

from edgekit.cli import cli
from edgekit.ledger import Ledger
from tests.selection.selection_ledger import Laboratory

PAGE = (ROOT / "docs/comparing.md").read_text(encoding="utf-8")
STEPS = YAML(typ="safe").load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])["jobs"]["latency"]["steps"]


def test_the_job_measures_by_options_that_there_are():
    name, *arguments = STEPS[1]["run"].split()[1:]
    command = cli.get_command(None, name)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


@pytest.mark.parametrize(("milliseconds", "code"), [(10.0, 0), (10.6, 1)])
def test_the_job_fails_if_the_model_became_slower(tmp_path, milliseconds, code):
    for name, latency in (("main", 10.0), ("new", milliseconds)):
        with Ledger.open(f"sqlite:///{tmp_path}/{name}.sqlite") as ledger:
            Laboratory(ledger).measure("v2", latency)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    summary = tmp_path / "summary.md"
    environment = {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(summary)}
    done = subprocess.run(["bash", "-c", STEPS[2]["run"]], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == code
    subprocess.run(["bash", "-c", STEPS[3]["run"]], cwd=tmp_path, env=environment, check=True)
    assert ("slower=3%: failed" in summary.read_text()) == bool(code)
