"""A ledger with a bit of everything, written in milliseconds: two phones, two runners, failures, accuracies."""

from edgekit.errors import Failure, FailureKind
from edgekit.ledger.records import AccuracyRecord
from edgekit.measure.statistics import summarise
from edgekit.measure.verdict import judge

MILLISECOND = 1_000_000
PARITY = {
    "kind": "measured",
    "photos": 16,
    "max_absolute": 1e-6,
    "max_relative": 1e-6,
    "snr_db": 109.0,
    "top1_agreement": 1.0,
}
NETWORKS = {
    "v2": ("mobilenet_v2", "MobileNetV2", 3_504_872, 300_774_272),
    "v3_large": ("mobilenet_v3_large", "MobileNetV3-Large", 5_483_032, 216_589_760),
    "v3_small": ("mobilenet_v3_small", "MobileNetV3-Small", 2_542_856, 56_516_064),
}
PHONES = {
    "aaaaaaaa1111": ("pixel", {"model": "Pixel 3", "os_build": "google/blueline:12", "soc": "SDM845"}),
    "bbbbbbbb2222": ("pixel", {"model": "Pixel 3", "os_build": "google/blueline:11", "soc": "SDM845"}),
}
RUNNER = {
    "runner": "native",
    "runtime": "ai_edge_litert",
    "runtime_version": "2.3.0",
    "threads": 1,
    "affinity": [7],
    "machine": "aarch64",
    "cpu_features": ["asimd", "asimddp"],
    "emulated": False,
    "before": {"clock_rung": "fixed-performance", "temperature_c": 31.5},
}


def manifest(recipe, target, **changes):
    architecture, published, parameters, multiply_adds = NETWORKS[recipe]
    name = f"{recipe} {target}"
    return {
        "recipe": recipe,
        "recipe_hash": "h",
        "architecture": architecture,
        "variant": "1.0/224",
        "model": {"width": 1.0, "resolution": 224},
        "target": target,
        "format": "tflite",
        "file": "model.tflite",
        "sha256": name.encode().hex().ljust(64, "0")[:64],
        "size_bytes": parameters * (1 if target.endswith("int8") else 4),
        "build_key": name.encode().hex(),
        "weights": "checkpoint 01234567",
        "contract": "met",
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "delegation": {"partitions": 1, "complete": True, "outside": []},
        "compile_seconds": 12.3,
        "tools": {"litert-torch": "0.10.0"},
        "parity": PARITY,
        "published": {"model": published, "variant": "", "head": ""},
        **changes,
    }


def measure(ledger, run, recipe, target, milliseconds, device="aaaaaaaa1111", sessions=6, protocol="1t-big", **changes):
    """Record a measurement whose sessions differ by a thousandth; `changes` are of the conditions."""
    name, identity = PHONES.get(device, ("host", {"model": "unknown", "os_build": "Linux 6.18", "soc": "AMD EPYC"}))
    artifact = ledger.record_artifact(run, manifest(recipe, target))
    ledger.record_device(device, name, identity)
    id = ledger.begin_measurement(artifact, device, target, {"name": protocol})
    samples = [[int(milliseconds * MILLISECOND * (1 + block / 1000))] * 40 for block in range(sessions)]
    for block, session in enumerate(samples):
        ledger.add_session(id, block, load_ns=1, first_ns=1, samples=session, environment={})
    summary = summarise(samples, [MILLISECOND] * sessions, [MILLISECOND] * sessions)
    judgement = judge(summary)
    ledger.finish_measurement(
        id,
        verdict=judgement.verdict,
        evidence=judgement.evidence,
        summary=summary.model_dump(),
        conditions={**identity, **RUNNER, **changes},
    )
    return id


def evaluate(ledger, run, recipe, target, right, n=1000):
    """Record the accuracy of an artifact: `right` of `n` photos."""
    from edgekit.evaluation.metrics import share

    known = manifest(recipe, target)
    ledger.record_accuracy(
        run,
        AccuracyRecord(
            artifact_sha256=known["sha256"],
            subset_sha256="5" * 64,
            recipe=recipe,
            variant="1.0/224",
            target=target,
            data_set="imagenet",
            data_format="csv",
            photos=n,
            n=n,
            metric="top1",
            metrics={"top1": share(right, n).model_dump(mode="json")},
            comparison=None,
            failed={},
            kind="measured",
            device=None,
            device_id=None,
            host="lab",
        ),
    )


def fail(ledger, run, recipe, target, kind=FailureKind.offline, message="No phone.", device="pixel"):
    failure = Failure(kind, "reach", message, "Attach one.")
    ledger.record_failure(run, failure, recipe=recipe, variant="1.0/224", target=target, device=device)


FP32, INT8 = "tflite/xnnpack/fp32", "tflite/xnnpack/int8"


def fill(ledger):
    """Write the whole ledger and return the run's id."""
    run = ledger.begin_run("profile", 0, {"name": "1t-big"}, {})
    for recipe, milliseconds in (("v2", 60.0), ("v3_large", 44.0), ("v3_small", 14.0)):
        measure(ledger, run, recipe, FP32, milliseconds)
        measure(ledger, run, recipe, INT8, milliseconds / 2)
        measure(ledger, run, recipe, FP32, milliseconds * 1.1, device="bbbbbbbb2222", sessions=3, protocol="quick")
    measure(ledger, run, "v3_small", "executorch/xnnpack/fp32", 0.0378123, device="cccccccc3333", runner="python")
    evaluate(ledger, run, "v2", FP32, 720)
    evaluate(ledger, run, "v2", INT8, 712)
    evaluate(ledger, run, "v3_large", FP32, 750)
    fail(ledger, run, "v2", "executorch/xnnpack/fp32")
    fail(ledger, run, "v3_large", "executorch/xnnpack/fp32")
    ledger.record_artifact(run, manifest("v2", "coreml/-/fp16", parity={**PARITY, "kind": "derived"}))
    return run
