"""The way of the data, once: recipe -> model -> artifact -> device -> measurement -> ledger."""

from edgekit.pipeline.building import build_artifacts
from edgekit.pipeline.plan import Plan, Sweep, Tell
from edgekit.pipeline.runs import compile_run, deploy_run, profile_run, resume_run

__all__ = ["Plan", "Sweep", "Tell", "build_artifacts", "compile_run", "deploy_run", "profile_run", "resume_run"]
