"""Operators of a profile and the PyTorch modules that they come from."""

import random

import pytest

from edgekit.build.graph_nodes import module_of
from edgekit.build.jobs import GraphNode
from edgekit.errors import UsageError
from edgekit.measure.modules import by_module, with_modules
from edgekit.measure.operators import EVENTS, OperatorTime, read_profile

PREFIX = "litert_torch._convert.to_channel_last_io.ChannelLastIOWrapper/edgekit.architectures.blocks.Classifier_wrapped"
CONTAINER = "torch.nn.modules.container.Sequential"
NODES = [
    GraphNode(operator="conv2d", module="stem.0"),
    GraphNode(operator="relu", module="stem.1"),
    GraphNode(operator="conv2d", module="block.depthwise"),
    GraphNode(operator="conv2d", module="block.project"),
    GraphNode(operator="add", module="block"),
    GraphNode(operator="cumsum", module="odd"),
    GraphNode(operator="linear", module="head"),
]


def operator(name, inside=True, node=None, ms=1.0):
    return OperatorTime(operator=name, name=name, mean_ms=ms, inside=inside, node=node)


def modules(*operators, nodes=NODES):
    return [found.module for found in with_modules(operators, nodes)]


def test_operators_of_a_delegate_find_their_modules_in_order_and_by_kind():
    found = modules(
        operator("Transpose (ND, X32)"),
        operator("Convolution (NHWC, F32) IGEMM"),  # its ReLU is fused into it
        operator("Convolution (NHWC, F32) DWConv"),
        operator("Fully Connected (NC, F32) GEMM"),  # a convolution of 1x1
        operator("Add (ND)"),
        operator("cumsum.out", inside=False),
        operator("Fully Connected (NC, F32) GEMM"),
    )
    assert found == [None, "stem.0", "block.depthwise", "block.project", "block", "odd", "head"]


def test_an_operator_between_two_layers_is_in_the_module_that_both_share():
    found = modules(
        operator("Convolution DWConv"), operator("Copy (NC)"), operator("Convolution IGEMM"), nodes=NODES[2:4]
    )
    assert found == ["block.depthwise", "block", "block.project"]


def test_the_runtimes_own_index_of_a_node_outweighs_kinds():
    nodes = [GraphNode(operator="CUSTOM", module=name) for name in ("first", "second", "third")]
    assert modules(operator("anything", inside=False, node=1), nodes=nodes) == ["second"]


def test_dropped_operators_do_not_shift_the_modules_of_layers():
    random.seed(0)
    nodes = [
        GraphNode(operator=random.choice(("conv2d", "hardswish", "mul", "pad", "add")), module=f"m.{index}")
        for index in range(200)
    ]
    words = {"conv2d": "Convolution", "hardswish": "HardSwish (NC)", "mul": "Multiply (ND)", "add": "Add (ND)"}
    kept = [
        (words[node.operator], node.module)
        for node in nodes
        if node.operator == "conv2d" or (node.operator != "pad" and random.random() < 0.7)
    ]
    found = modules(*(operator(word) for word, _ in kept), nodes=nodes)
    layers = [(name, module) for (word, module), name in zip(kept, found, strict=True) if word == "Convolution"]
    assert layers
    assert all(name == module for name, module in layers)


def test_times_are_summed_by_module_and_what_ran_off_the_delegate_apart():
    operators = with_modules(
        [
            operator("Convolution IGEMM", ms=2.0),
            operator("Convolution DWConv", ms=1.0),
            operator("Convolution IGEMM", ms=1.0),
            operator("cumsum.out", inside=False, ms=4.0),
            operator("DELEGATE_CALL", inside=False, ms=4.0),
        ],
        NODES,
    )
    found = {total.module: (total.operators, total.mean_ms, total.off_delegate_ms) for total in by_module(operators, 1)}
    assert found == {"stem": (1, 2.0, 0.0), "block": (2, 2.0, 0.0), "odd": (1, 4.0, 4.0)}


@pytest.mark.parametrize(
    ("node", "outputs", "inputs", "module"),
    [
        ("MEAN", [f"{PREFIX}/{CONTAINER}_features/my.package.Squeeze_1;2"], [], "features.1"),
        ("MUL", [f"{PREFIX}/my.Excite_0;;{PREFIX}/my.Excite_0/torch.nn.Hardsigmoid_gate;"], [], "0"),
        ("CONV_2D", [f"{PREFIX}/torch.nn.ReLU_2;;{PREFIX}/torch.nn.Conv2d_my_conv;2"], ["in"], "my_conv"),
        ("FULLY_CONNECTED", ["serving_default_output"], ["in", f"{PREFIX}/torch.nn.Linear_classes;1"], "classes"),
        ("ADD", [f"{PREFIX};1"], [], ""),
        ("RESHAPE", ["serving_default_output"], [f"{PREFIX}/torch.nn.Linear_classes;1"], None),
    ],
)
def test_tensor_names_of_litert_torch_hold_module_names(node, outputs, inputs, module):
    assert module_of(node, outputs, inputs) == module


def events(*lines):
    return "\n".join([f"{EVENTS}2.3.0", *("\t".join(map(str, line)) for line in lines), ""])


def run(index, convolution, cumsum):
    return [
        (index, 1, 5, 0, "LiteRT::Run[buffer registration]"),
        (index, 1, convolution + cumsum + 10, 0, "Invoke"),
        (index, 8, convolution, 0, "Convolution (NHWC, F32) IGEMM"),
        (index, 2, cumsum, 2, "CUMSUM"),
        (index, 8, 0, 0, "Multiply (ND)"),
        (index, 32, 2**32, 2**64 - 1, "Invoke"),
    ]


def test_events_of_the_native_runner_become_mean_times_without_the_first_run(tmp_path):
    file = tmp_path / "operators"
    file.write_text(events(*run(0, 900, 900), *run(1, 100, 40), *run(2, 300, 60)))
    found = read_profile(file)
    assert (found.profiler, found.runs, found.mean_ms) == ("LiteRT", 2, pytest.approx(0.26))
    assert [(one.operator, one.mean_ms, one.inside, one.node) for one in found.operators] == [
        ("Convolution (NHWC, F32) IGEMM", pytest.approx(0.2), True, None),
        ("CUMSUM", pytest.approx(0.05), False, 2),
        ("Multiply (ND)", 0, True, None),
    ]
    assert found.fallback_share == pytest.approx(0.05 / 0.26)
    assert found.elsewhere_ms == pytest.approx(0.01)


@pytest.mark.parametrize(
    "lines",
    [[], run(0, 1, 1)[:1], [*run(0, 1, 1), *run(1, 1, 1), *run(2, 1, 1)[:-2]], [*run(0, 1, 1), ("cut",)]],
    ids=["none", "no operator", "an incomplete run", "an incomplete line"],
)
def test_incomplete_events_are_no_profile(lines, tmp_path):
    file = tmp_path / "operators"
    file.write_text(events(*lines))
    with pytest.raises(UsageError, match="is not a complete operator profile"):
        read_profile(file)


def test_of_many_runs_the_faster_half_counts_so_that_an_interruption_changes_no_share(tmp_path):
    file = tmp_path / "operators"
    runs = [run(0, 900, 900), *(run(index, 100, 100) for index in range(1, 40)), run(40, 50_000, 100)]
    file.write_text(events(*(line for one in runs for line in one)))
    found = read_profile(file)
    assert found.runs == 39
    assert found.fallback_share == pytest.approx(100 / 210)
