"""`edgekit select` as a user runs it: text, JSON, exit codes, errors."""

import io
import json

import jsonschema
import pytest
from click.testing import CliRunner
from rich.console import Console

from edgekit.cli import cli
from edgekit.errors import UsageError
from edgekit.schemas import committed
from edgekit.selection.choosing import choose
from edgekit.selection.question import Question
from edgekit.selection.table import percent, printed
from tests.selection.selection_ledger import Laboratory
from tests.synthetic_ledger import TARGETS, Spec, write


@pytest.fixture
def three(ledger):
    lab = Laboratory(ledger)
    lab.measure("small", 5, 60)
    lab.measure("middle", 10, 70)
    lab.measure("large", 30, 80)
    return lab


def run(*arguments):
    """Return what it prints and its exit code; errors are raised."""
    result = CliRunner().invoke(cli, ["select", *arguments], catch_exceptions=False, standalone_mode=False)
    return result.output, result.return_value


def shown(document, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(printed(document))
    return console.file.getvalue()


def test_a_decided_answer_ends_with_0_and_comes_first(three):
    output, code = run("--device", "pixel", "--max-latency", "20ms")
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "Question: the most accurate model with median latency at most 20 ms."
    assert "Ship middle 1.0/224 tflite/xnnpack/int8: the answer with probability >99 %." in lines
    assert "- runner-up: small 1.0/224 tflite/xnnpack/int8 (<1 %)" in lines


def test_an_undecided_answer_and_none_end_with_3(three):
    three.measure("rival", 10.01, 70.3)
    output, code = run("--device", "pixel", "--max-latency", "20ms")
    assert code == 3
    assert "Undecided." in output
    output, code = run("--device", "pixel", "--max-latency", "1ms")
    assert code == 3
    assert "No model is within the limits (probability >99 %)." in output


def test_json_is_that_of_the_schema_and_has_the_same_exit_code(three):
    output, code = run("--device", "pixel", "--max-latency", "0.02s", "--json", "--seed", "7")
    document = json.loads(output)
    jsonschema.validate(document, json.loads(committed("select").read_text()))
    assert code == 0
    assert document["schema"] == 1
    assert document["question"]["seed"] == 7
    assert document["candidates"][document["answer"]["winner"]]["recipe"] == "middle"


@pytest.mark.parametrize(
    ("option", "value"), [("--max-latency", "20"), ("--max-size", "6"), ("--max-memory", "80"), ("--max-size", "6ms")]
)
def test_a_quantity_without_a_unit_is_an_error(three, option, value):
    with pytest.raises(UsageError, match=option):
        run("--device", "pixel", option, value)


def test_without_a_ledger_or_a_device_the_error_says_what_to_do(tmp_path, monkeypatch, three):
    with pytest.raises(UsageError, match="knows no device phone"):
        run("--device", "phone", "--max-latency", "20ms")
    monkeypatch.setenv("EDGEKIT_LEDGER", f"sqlite:///{tmp_path}/none.sqlite")
    with pytest.raises(UsageError, match="There is no ledger"):
        run("--device", "pixel", "--max-latency", "20ms")


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("devices", [("device0",), ("device0", "device1")])
def test_a_table_fits_the_terminal_and_breaks_no_number(ledger, width, devices):
    write(ledger, Spec(recipes=20, targets=TARGETS, devices=2, sessions=6, failures=0.1))
    document = choose(ledger, Question(devices=devices, max_latency_ms=20))
    output = shown(document, width)
    assert max(map(len, output.splitlines())) <= width
    assert "…" not in output
    assert "excluded, failed" in output
    for one in document.candidates:
        if one.id == document.answer.winner:
            low, high = one.accuracy.interval
            assert f"[{low:.1f}, {high:.1f}]" in output
            assert f"\n {one.target} " in output


def test_probabilities_are_never_certain():
    assert [percent(p) for p in (1.0, 0.996, 0.95, 0.1, 0.004, 0.0)] == [
        ">99 %",
        ">99 %",
        "95 %",
        "10 %",
        "<1 %",
        "<1 %",
    ]


def test_a_ledger_whose_models_take_no_part_says_why(ledger):
    lab = Laboratory(ledger)
    lab.measure("blind", 10)
    output, code = run("--device", "pixel", "--max-latency", "20ms")
    assert code == 3
    assert "No answer: no model takes part." in output
    assert "excluded, no accuracy: 1: blind 1.0/224 tflite/xnnpack/int8" in output
    assert "edgekit evaluate blind --target tflite/xnnpack/int8 --data DIR" in output


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("--recipe", "smal", "small"), ("--target", "int9", TARGETS[1]), ("--runtime", "tflight", "tflite")],
)
def test_a_name_that_the_ledger_does_not_hold_is_an_error_with_what_there_is(three, option, value, known):
    with pytest.raises(UsageError, match=f"no result of the {option[2:]} {value}") as caught:
        run("--device", "pixel", "--max-latency", "20ms", option, value)
    assert known in caught.value.failure.hint


def test_a_recipe_that_only_failed_is_known(three):
    three.fail("broken")
    output, _ = run("--device", "pixel", "--max-latency", "20ms", "--recipe", "middle,broken")
    assert "excluded, failed: 1: broken" in output


def test_a_target_may_be_named_by_a_part(three):
    three.measure("float", 10, 79, target=TARGETS[0])
    output, _ = run("--device", "pixel", "--max-latency", "20ms", "--target", "int8")
    assert "Ship middle 1.0/224 tflite/xnnpack/int8" in output
    output, _ = run("--device", "pixel", "--max-latency", "20ms", "--target", "fp32,int8")
    assert "Ship float 1.0/224 tflite/xnnpack/fp32" in output


def test_names_with_brackets_are_printed_as_they_are(ledger):
    Laboratory(ledger).measure("ne[red]t", 10, 70)
    document = choose(ledger, Question(devices=("pixel",)))
    assert shown(document).count("ne[red]t") >= 5
    assert " net 1.0" not in shown(document)
