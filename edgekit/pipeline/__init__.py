"""The way of the data: recipe -> model -> artifact -> device -> measurement -> ledger."""

from edgekit.pipeline.building import build_artifact, build_artifacts
from edgekit.pipeline.plan import Plan, Progress, Sweep
from edgekit.pipeline.runs import resume_run, start_run

__all__ = ["Plan", "Progress", "Sweep", "build_artifact", "build_artifacts", "resume_run", "start_run"]
