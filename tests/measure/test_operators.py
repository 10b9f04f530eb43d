"""Profiles of operators, captured from the real programs: LiteRT's CSV and ExecuTorch's ETDump of one network, MobileNetV3."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import UsageError
from edgekit.measure.operators import RUNS, read_profile

PRINTED = Path(__file__).with_name("printed")
CSV, ETDUMP = PRINTED / "operators.csv", PRINTED / "operators.etdp"


def test_litert_tells_every_operator_of_the_timed_runs():
    found = read_profile(CSV)
    assert (found.profiler, found.runs, found.mean_ms) == ("LiteRT", 35, 28.8078)
    assert Counter(one.operator for one in found.operators)["DEPTHWISE_CONV_2D"] == 15
    assert len(found.operators) == 126
    first, last = found.operators[0], found.operators[-1]
    assert (first.operator, first.mean_ms, first.inside) == ("TRANSPOSE", 0.068, False)
    assert (last.name, last.mean_ms) == ("[serving_default_output_0_output]:125", 0.594429)
    assert found.elsewhere_ms == pytest.approx(0, abs=1e-3)


def test_what_runs_inside_a_delegate_is_a_part_of_its_node(tmp_path):
    """LiteRT's source prints such a table after that of the graph; it was captured from no program."""
    table = """{title}
============================== Run Order ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
{rows}
Timings (microseconds): count=7 first=900 curr=1000 min=900 max=1e+03 avg={mean} std=50
Memory (bytes): count=0

"""
    graph = table.format(
        title=RUNS, rows="TfLiteXNNPackDelegate, 0.9, 1.0, 100%, 100%, 0, 1, Delegate/x:0\n", mean=1000
    )
    inside = "Convolution (NHWC, F32) IGEMM, 0.5, 0.3, 75%, 75%, 0, 2, Delegate/IGEMM:0\n"
    (tmp_path / "p.csv").write_text(graph + table.format(title="Delegate internal: ", rows=inside, mean=600))
    found = read_profile(tmp_path / "p.csv")
    assert (found.runs, found.mean_ms, found.elsewhere_ms) == (7, 1.0, 0)
    assert [(one.operator, one.mean_ms, one.inside) for one in found.operators] == [
        ("TfLiteXNNPackDelegate", 1.0, False),
        ("Convolution (NHWC, F32) IGEMM", 0.6, True),
    ]


def test_executorch_tells_the_graph_and_what_its_delegate_ran():
    found = read_profile(ETDUMP)
    assert (found.profiler, found.runs) == ("ExecuTorch", 2)
    # Of three runs, 2.90, 1.28 and 1.12 ms, the first is left out.
    assert found.mean_ms == pytest.approx(1.198, abs=1e-3)
    graph = Counter(one.operator for one in found.operators if not one.inside)
    assert graph == {"_to_dim_order_copy.out": 18, "DELEGATE_CALL": 1}
    inside = Counter(one.operator for one in found.operators if one.inside)
    assert (inside["Fully Connected (NC, F32) GEMM"], inside["Convolution (NHWC, F32) DWConv"]) == (42, 11)
    assert 0 < found.elsewhere_ms < 0.02


@pytest.mark.parametrize(
    "content",
    [b"", b"INFO: STARTING!\n", CSV.read_bytes()[:2000], ETDUMP.read_bytes()[:30000]],
    ids=["empty", "a log", "half a CSV", "half an ETDump"],
)
def test_what_is_no_whole_profile_is_refused(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UsageError, match="is not a complete operator profile"):
        read_profile(tmp_path / "file")


def test_the_command_shows_types_by_time_or_each_operator():
    types = CliRunner().invoke(cli, ["operators", str(CSV)]).output
    lines = [line.split("│") for line in types.splitlines() if "│" in line]
    assert [line[1].strip() for line in lines[:3]] == ["DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED"]
    assert [cell.strip() for cell in lines[0][2:5]] == ["15", "19.9195", "69.1%"]
    assert "Mean of 35 runs in LiteRT: 28.808 ms, profiler included: no latency of the model." in types
    each = CliRunner().invoke(cli, ["operators", "--each", str(CSV)]).output
    assert "[serving_default_output_0_output]:125" in each
