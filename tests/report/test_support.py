from edgekit.errors import Failure, FailureKind
from edgekit.recipe.loading import load_recipe
from edgekit.report.support import support_matrix

TARGETS = ["coreml/-/fp16", "executorch/xnnpack/int8", "tflite/xnnpack/fp32"]


def manifest(recipe, target, **changes):
    return {
        "recipe": recipe.name,
        "recipe_hash": recipe.hash,
        "architecture": recipe.architecture,
        "variant": recipe.model.variant,
        "model": recipe.model.model_dump(),
        "target": target,
        "format": "tflite",
        "sha256": "a" * 64,
        "size_bytes": 17_000_000,
        "build_key": "k",
        "weights": "random(0)",
        "contract": "met",
        "compile_seconds": 27.4,
        "delegation": {"partitions": 3, "complete": False},
        "tools": {"litert-torch": "0.10.0"},
        "parity": {"kind": "measured", "photos": 16, "max_absolute": 0, "snr_db": 92.0, "top1_agreement": 1.0},
        **changes,
    }


def test_every_planned_cell_says_what_became_of_it(ledger):
    recipe = load_recipe("v1")
    plan = {"recipes": [{"recipe": recipe.model_dump(mode="json"), "targets": TARGETS}]}
    run = ledger.begin_run("compile", 0, {}, plan)
    ledger.record_artifact(run, manifest(recipe, TARGETS[2]))
    failure = Failure(FailureKind.out_of_memory, "compile", "The process ended with signal 9.")
    ledger.record_failure(run, failure, recipe="v1", variant="1.0/224", target=TARGETS[1])
    text = support_matrix(ledger)
    (line,) = [line for line in text.splitlines() if line.startswith("| v1")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    told = "17.0 MB, 27 s, 92 dB, 16/16, 3 delegates, operators outside"
    assert cells == ["v1 1.0/224", "not built yet", "out of memory", told]
    assert "executorch/xnnpack/int8: out of memory: The process ended with signal 9." in text
    assert "Built with litert-torch 0.10.0.\n" in text


def test_the_newest_counts_and_what_befell_a_device_is_no_matter_of_support(ledger):
    recipe = load_recipe("v1")
    plan = {"recipes": [{"recipe": recipe.model_dump(mode="json"), "targets": TARGETS[2:]}]}
    run = ledger.begin_run("compile", 0, {}, plan)
    broken = Failure(FailureKind.contract, "model", "It counts something else.")
    ledger.record_failure(run, broken, recipe="v1", variant="1.0/224")
    assert "contract broken" in support_matrix(ledger)
    ledger.record_artifact(run, manifest(recipe, TARGETS[2]))
    offline = Failure(FailureKind.offline, "reach", "No phone.")
    ledger.record_failure(run, offline, recipe="v1", variant="1.0/224", target=TARGETS[2], device="pixel")
    text = support_matrix(ledger)
    assert "17.0 MB" in text
    assert "offline" not in text
    ledger.record_failure(run, broken, recipe="v1", variant="1.0/224")
    assert "contract broken" in support_matrix(ledger)


def test_plans_of_the_first_edgekit_are_passed_over(ledger):
    ledger.begin_run("compile", 0, {}, {"recipes": [load_recipe("v1").model_dump(mode="json")], "targets": TARGETS})
    assert "edgekit compile --all" in support_matrix(ledger)


def test_an_empty_ledger_says_how_to_fill_it(ledger):
    assert "edgekit compile --all" in support_matrix(ledger)


def test_two_recipes_of_one_name_have_a_row_each(ledger):
    net = load_recipe("v1").model_copy(update={"name": "net"})
    other = load_recipe("v2").model_copy(update={"name": "net"})
    for recipe, size in ((net, 17_000_000), (other, 14_000_000)):
        plan = {"recipes": [{"recipe": recipe.model_dump(mode="json"), "targets": TARGETS[2:]}]}
        run = ledger.begin_run("compile", 0, {}, plan)
        if recipe is net:
            ledger.record_failure(run, Failure(FailureKind.contract, "model", "No."), recipe="net", variant="1.0/224")
        else:
            ledger.record_artifact(run, manifest(recipe, TARGETS[2], size_bytes=size))
    lines = [line for line in support_matrix(ledger).splitlines() if line.startswith("| net #")]
    assert len(lines) == 2
    assert ["14.0 MB" in line for line in lines].count(True) == 1
    assert ["contract broken" in line for line in lines].count(True) == 1
