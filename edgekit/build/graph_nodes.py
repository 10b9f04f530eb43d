"""The operators of an artifact's graph, in order of execution, and the PyTorch modules that they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.architectures.inputs import Inputs
from edgekit.build.jobs import GraphNode, GraphNodesJob
from edgekit.build.prepare import load_prepared

WRAPPED = "_wrapped/"
"""Ends what litert-torch puts before the names of a network's modules: its wrapper for channels last, and the network."""
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
ATTRIBUTE = re.compile(r"(?:.*\.)?_*[^_]+_(.+)")
"""A class with its package, and the attribute of its parent that holds it: ``torch.nn.modules.conv.Conv2d_head``."""


def graph_nodes(job: GraphNodesJob) -> list[dict[str, Any]]:
    """Return the nodes of the artifact's own graph for TFLite, of PyTorch's exported graph for other formats."""
    nodes = _of_tflite(job.artifact) if job.artifact.suffix == ".tflite" else _of_torch(job)
    return [node.model_dump() for node in nodes]


def _of_tflite(artifact: Path) -> list[GraphNode]:
    """Return the file's operators. Without a delegate, their places are the indices that the profiler reports."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(artifact), experimental_op_resolver_type=resolver)
    names = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details()}
    nodes = []
    for node in interpreter._get_ops_details():
        outputs, inputs = ([names.get(int(index), "") for index in node[side]] for side in ("outputs", "inputs"))
        nodes.append(GraphNode(operator=node["op_name"], module=module_of(node["op_name"], outputs, inputs)))
    return nodes


def module_of(operator: str, outputs: Sequence[str], inputs: Sequence[str]) -> str | None:
    """Return the module that litert-torch wrote into the names of a node's tensors; None if there is none.

    A fused tensor has several names, the last operator's first. A layer is the module of its weights, and any other node
    that of its last operator. An output of the network has another name: a layer's weights then say where it comes from.
    """
    weighted = operator in WEIGHTED
    for tensor in (*outputs, *(inputs[1:] if weighted else ())):
        names = [name for name in tensor.split(";") if WRAPPED in f"{name}/"]
        if names:
            return _module_name(names[-1] if weighted else names[0])
    return None


def _module_name(written: str) -> str:
    """Return a module's name in the network; empty for the network itself."""
    inner = f"{written}/".partition(WRAPPED)[2].rstrip("/")
    parts = [match[1] for part in inner.split("/") if (match := ATTRIBUTE.fullmatch(part))]
    return ".".join(parts)


def _of_torch(job: GraphNodesJob) -> list[GraphNode]:
    import torch

    model = load_prepared(job.recipe, job.prepared)
    example = Inputs.load(job.prepared / "parity.npz")[:1].tensors()
    graph = torch.export.export(model, example).graph
    return [
        GraphNode(operator=str(node.target).removeprefix("aten.").partition(".")[0], module=_innermost(node))
        for node in graph.nodes
        if node.op == "call_function"
    ]


def _innermost(node: Any) -> str | None:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else None
