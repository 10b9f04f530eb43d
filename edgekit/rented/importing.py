"""Results that a pack brought back -> the ledger, with their provenance."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.build.photos import PhotoSet
from edgekit.cache.store import temporary_folder
from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.ledger import Ledger
from edgekit.measure.disturbances import usual
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Ended, Session, broken
from edgekit.pipeline import Plan, Progress, Sweep
from edgekit.pipeline.outputs import check_outputs
from edgekit.pipeline.recording import Recorded, finish
from edgekit.pipeline.run import Run, begun
from edgekit.rented.packing import ROOT, Pack, open_pack
from edgekit.rented.results import RawSession, Results, identity, read_results, state, timing_cpu
from edgekit.target import Target

COMMAND = "import-results"
TIMED_OUT = 124
"""The exit status of ``timeout`` for a program that it ended."""


def import_results(
    ledger: Ledger, file: Path, pack_file: Path, source: str, progress: Progress, *, emulated: bool = False
) -> str:
    """Check the results of a pack, and store them as measurements of an imported device. Return the run's id.

    `source` is where they were measured (``aws-device-farm``). A session that failed or is missing is a failure of its cell.
    UsageError or EdgekitError (``hash_mismatch``) if a file is not what it should be; then nothing is stored.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", source):
        raise UsageError(f"--source {source!r} is not a name.", "For example: --source aws-device-farm")
    with temporary_folder() as place:
        pack, pack_sha256 = open_pack(pack_file, Path(place))
        results = read_results(file, pack, pack_sha256)
        for run in ledger.runs():
            if run.command == COMMAND and run.plan.get("imported", {}).get("results_sha256") == results.sha256:
                raise UsageError(f"{file} was imported before, by the run {run.id}.", "Each file is imported once.")
        provenance = {
            "source": source,
            "results_sha256": results.sha256,
            "pack_sha256": pack_sha256,
            "nonce": pack.nonce,
            "started_at": results.started_at,
            "ended_at": results.ended_at,
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "imported_by": getpass.getuser(),
        }
        targets = tuple(Target.parse(manifest.target) for manifest in pack.manifests)
        # The photos themselves are not needed: the pack's artifacts are built.
        plan = Plan(pack.recipe, targets, PhotoSet((), pack.manifests[0].calibration_sha256))
        sweep = Sweep((plan,), (), pack.protocol, None)
        written = {**sweep.written(), "imported": provenance}
        with begun(ledger, COMMAND, written, pack.protocol.model_dump(), pack.seed, progress) as run_:
            _store(run_, plan, pack, results, Path(place) / ROOT, provenance, emulated)
    return run_.id


def _store(
    run: Run, plan: Plan, pack: Pack, results: Results, folder: Path, provenance: dict[str, Any], emulated: bool
) -> None:
    facts = identity(results)
    facts["emulated"] = emulated or facts["emulated"]
    device = f"imported:{provenance['source']}"
    # Never the id that a device in reach has, so that its results are never mixed with these.
    key = json.dumps([device, facts.pop("serial"), facts["model"], facts["os_build"]])
    device_id = hashlib.sha256(key.encode()).hexdigest()[:16]
    run.ledger.record_device(device_id, device, facts)
    conditions = {
        **facts,
        "imported": provenance,
        "before": state(results, "before"),
        "after": state(results, "after"),
    }
    for number, manifest in enumerate(pack.manifests):
        artifact = run.ledger.record_artifact(run.id, manifest.model_dump(mode="json"))
        name = f"{manifest.recipe} {manifest.target}"
        try:
            raw = [_raw(results, pack, number, block, f"{name} on {device}") for block in range(pack.protocol.sessions)]
            sessions = [_session(one, pack, results, f"{name} on {device}", facts["emulated"]) for one in raw]
            parity = _compare(raw, pack, number, folder, (manifest.target, device))
        except EdgekitError as error:
            _fail(run, plan, manifest.target, device, manifest.sha256, error.failure)
            run.progress(error.failure.line(name))
            continue
        protocol, (began, ended) = pack.protocol.model_dump(), _times(results, pack)
        id = run.ledger.begin_measurement(artifact, device_id, manifest.target, protocol, began)
        recorded = Recorded(id)
        for block, session in enumerate(sessions):
            recorded.add(run.ledger, block, session)
        found = {**conditions, "parity_on_device": parity}
        if pack.protocol.cold_loads:
            found["cold_load"] = {"unknown": "a pack loads no model from the disk"}
        normal = usual([session.environment for session in sessions])
        finish(run.ledger, recorded, pack.protocol, manifest.target, manifest, found, normal, ended)
        run.progress(f"{name}: {len(sessions)} sessions imported")


def _times(results: Results, pack: Pack) -> tuple[datetime | None, datetime | None]:
    """Return when the sessions began and ended by the device's clock; None, which means now, if its clock is wrong."""
    began, ended = (datetime.fromisoformat(text) for text in (results.started_at, results.ended_at))
    if datetime.fromisoformat(pack.created_at) <= began <= ended <= datetime.now(UTC):
        return began, ended
    return None, None


def _fail(run: Run, plan: Plan, target: str, device: str, sha256: str, failure: Failure) -> None:
    run.fail(failure, plan, target, device, sha256)


def _raw(results: Results, pack: Pack, number: int, block: int, where: str) -> RawSession:
    found = results.sessions.get((block, number))
    if found is None:
        message = f"{where}: session {block + 1} of {pack.protocol.sessions} is missing in the results."
        raise EdgekitError(FailureKind.crashed, "measure", message, "Run the pack again.", retriable=True)
    return found


def _session(raw: RawSession, pack: Pack, results: Results, where: str, emulated: bool) -> Session:
    """Return a session as one that was measured here. EdgekitError if it failed or broke its conditions."""
    where = f"{where}, session {raw.block + 1}"
    if raw.status == TIMED_OUT:
        message = f"{where} ran for more than {pack.protocol.session_timeout:.0f} s and was killed."
        raise EdgekitError(FailureKind.timed_out, "measure", message, retriable=True)
    if raw.status != 0:
        raise broken(where, raw.completed)
    if raw.cpu != (expected := timing_cpu(results)):
        message = f"{where}: it was started on CPU {raw.cpu} instead of {expected}, the fastest."
        raise EdgekitError(FailureKind.unverified, "measure", message)
    try:
        return OwnRunner((), emulated, pack.runner).read(
            Ended(where, pack.protocol, () if raw.cpu is None else (raw.cpu,), raw.completed, raw.started_at)
        )
    except KeyError as error:
        raise broken(where, raw.completed) from error


def _compare(
    raw: Sequence[RawSession], pack: Pack, number: int, folder: Path, where: tuple[str, str]
) -> dict[str, float]:
    """Compare the outputs of the first session with PyTorch's. EdgekitError if there are none, or they differ."""
    values = raw[0].values
    if values is None:
        message = f"{where[0]} on {where[1]}: the results have no outputs, so nothing could be compared with PyTorch."
        raise EdgekitError(FailureKind.unverified, "measure", message, "Run the pack again.")
    with np.load(folder / "lab/reference.npz") as saved:
        reference = dict(saved)
    return check_outputs(values, reference, pack.manifests[number], pack.recipe.parity, where)
