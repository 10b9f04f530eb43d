"""Making a pack: runners, artifacts, inputs and a script in one zip, for a device that this computer cannot reach."""

from __future__ import annotations

import json
import secrets
import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit import __version__
from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Artifact, Manifest, in_layout
from edgekit.build.prepare import Prepared
from edgekit.cache.store import file_sha256, in_use, temporary_folder
from edgekit.config.paths import cache_folder
from edgekit.devices.cpus import SPEED_FILES
from edgekit.devices.linux import IDENTITY
from edgekit.devices.scripts import GOVERNORS, SPEEDS, TEMPERATURES
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.pipeline import Plan, Progress, build_artifacts
from edgekit.protocol import Protocol
from edgekit.recipe.schema import Recipe
from edgekit.runners import DELEGATES, write_inputs
from edgekit.runners.bundle import ARCHITECTURES, RUNNERS, Bundle, bundle_for

FORMAT = 1
ROOT = "edgekit-pack"
"""The one folder in the zip."""
EPOCH = (1980, 1, 1, 0, 0, 0)


class Pack(BaseModel):
    """What a pack is. `files` are the SHA-256 of all its files but pack.json and files.sha256.

    `order` lists the sessions: block and number of the artifact. `nonce` distinguishes it from all other packs.
    pack.json has only format, nonce and files. All else, such as the recipe, is below ``lab/`` and need not go to the device.
    """

    model_config = ConfigDict(extra="forbid")
    format: int
    nonce: str
    created_at: str
    edgekit: str
    arch: str
    protocol: Protocol
    seed: int
    order: tuple[tuple[int, int], ...]
    manifests: tuple[Manifest, ...]
    recipe: Recipe
    runner: dict[str, Any]
    files: dict[str, str]


def pack(plan: Plan, arch: str, protocol: Protocol, output: Path, seed: int | None, progress: Progress) -> Pack:
    """Build the plan's artifacts and write them to a zip with all that times them on a device of an architecture.

    UsageError if `output` exists or is no .zip, or for a target without a native runner. EdgekitError if the runners or an
    artifact cannot be built.
    """
    if output.suffix != ".zip":
        raise UsageError(f"The name {output} does not end in .zip.", f"Write {output.with_suffix('.zip')}.")
    if output.exists():
        raise UsageError(f"There is something at {output} already.", "Name a new file, or remove it first.")
    for target in plan.targets:
        if target.backend not in RUNNERS or target.delegate not in DELEGATES[target.backend]:
            hint = f"Name targets of {' or '.join(RUNNERS)} for XNNPACK: --target ..."
            raise UsageError(f"A pack has native runners only, and there is none for {target}.", hint)
    if arch not in ARCHITECTURES:
        raise UsageError(f"There are no native runners for {arch}.", f"Known: {', '.join(ARCHITECTURES)}.")
    if (protocol.threads, protocol.cores, protocol.scope) != (1, "big", "inference"):
        message = f"A pack times the inference by one thread on a large core, not as {protocol.name}."
        raise UsageError(message, "Choose 1t-big or quick.")
    if plan.recipe.max_fallback_share is not None:
        progress("warning: a pack profiles no operators, so max_fallback_share is not checked.")
    bundle = bundle_for(arch, progress)
    with in_use(), temporary_folder() as place:
        prepared, built = build_artifacts(plan, progress, cache_folder() / "logs" / "pack")
        for failure in (one.failure for one in built if one.failure):
            raise EdgekitError(**vars(failure))
        found = {one.target: one.artifact for one in built if one.artifact}  # in the order in which they were done
        artifacts = [found[target] for target in plan.targets]
        folder = Path(place) / ROOT
        drawn = secrets.randbits(32) if seed is None else seed
        made = _fill(folder, plan, artifacts, prepared, bundle, arch, protocol, drawn)
        _write_zip(folder, Path(place) / "pack.zip")
        try:
            shutil.copyfile(Path(place) / "pack.zip", output)
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}.", "Choose another place.") from error
    return made


def _fill(
    folder: Path,
    plan: Plan,
    artifacts: list[Artifact],
    prepared: Prepared,
    bundle: Bundle,
    arch: str,
    protocol: Protocol,
    seed: int,
) -> Pack:
    for name in ("artifacts", "inputs", "lab"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(bundle.folder, folder / "runners")
    example = Inputs.load(prepared.folder / "parity.npz")[:1]
    for number, artifact in enumerate(artifacts):
        shutil.copyfile(artifact.path, folder / f"artifacts/{number}")
        write_inputs(in_layout(example, artifact.manifest.inputs), folder / f"inputs/{number}")
    with np.load(prepared.folder / "reference.npz") as saved:
        np.savez(folder / "lab/reference.npz", **{name: array[:1] for name, array in saved.items()})
    random = np.random.default_rng(seed)
    order = [
        (block, number) for block in range(protocol.sessions) for number in random.permutation(len(artifacts)).tolist()
    ]
    runners = [RUNNERS[artifact.target.backend] for artifact in artifacts]
    lines = [f"{block} {number} {runners[number]}" for block, number in order]
    (folder / "plan.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    nonce = secrets.token_hex(16)
    (folder / "run.sh").write_text(script(nonce, arch, protocol), encoding="ascii")
    made = Pack(
        format=FORMAT,
        nonce=nonce,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgekit=__version__,
        arch=arch,
        protocol=protocol,
        seed=seed,
        order=tuple(order),
        manifests=tuple(artifact.manifest for artifact in artifacts),
        recipe=plan.recipe,
        runner=bundle.facts,
        files={},
    )
    (folder / "lab/pack.json").write_text(made.model_dump_json(indent=2, exclude={"files"}), encoding="utf-8")
    made = made.model_copy(update={"files": _hashes(folder)})
    outline = made.model_dump_json(indent=2, include={"format", "nonce", "files"})
    (folder / "pack.json").write_text(outline, encoding="utf-8")
    checked = {**made.files, "pack.json": file_sha256(folder / "pack.json")}
    listed = [f"{sha256}  {name}" for name, sha256 in checked.items() if not name.startswith("lab/")]
    (folder / "files.sha256").write_text("\n".join(listed) + "\n", encoding="ascii")
    return made


def script(nonce: str, arch: str, protocol: Protocol) -> str:
    """Return run.sh of a pack."""
    text = (files("edgekit.rented") / "run.sh").read_text(encoding="ascii")
    values = {
        "LOADER": ARCHITECTURES[arch].loader,
        "IDENTITY": IDENTITY,
        "SPEEDS": SPEEDS,
        "TEMPERATURES": TEMPERATURES,
        "GOVERNORS": GOVERNORS,
        "SPEED_FILES": " ".join(SPEED_FILES),
        "SESSION_TIMEOUT": f"{protocol.session_timeout:.0f}",
        "THREADS": protocol.threads,
        "ITERATIONS": protocol.iterations,
        "MIN_SECONDS": protocol.min_seconds,
        "WARMUP_SECONDS": protocol.warmup_seconds,
        "NONCE": nonce,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value).rstrip("\n"))
    return text


def _hashes(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in found}


def _write_zip(folder: Path, file: Path) -> None:
    """Write a zip with the folder. Modes are those of the files, dates are none."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), EPOCH)
            entry.external_attr = (0o100000 | path.stat().st_mode & 0o777) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def open_pack(file: Path, folder: Path) -> tuple[Pack, str]:
    """Unpack a pack into `folder`, and check the hash of every file. Return it with the SHA-256 of its pack.json.

    UsageError if `file` is no pack. EdgekitError (``hash_mismatch``) if a file in it is missing or changed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
        outline = json.loads((folder / ROOT / "pack.json").read_text(encoding="utf-8"))
        if outline.get("format") != FORMAT:
            hint = "Use the edgekit that made it."
            raise UsageError(f"{file} has the format {outline.get('format')}, and this edgekit reads {FORMAT}.", hint)
        _check(file, folder / ROOT, outline["files"])
        described = json.loads((folder / ROOT / "lab/pack.json").read_text(encoding="utf-8"))
        found = Pack.model_validate({**described, **outline})
    except FileNotFoundError as error:
        raise UsageError(f"{file} is not a pack: it is not there, or has no pack.json.", _HINT) from error
    except (OSError, zipfile.BadZipFile, ValueError, AttributeError, KeyError, ValidationError) as error:
        raise UsageError(f"{file} is not a pack: {str(error).splitlines()[0]}.", _HINT) from error
    return found, file_sha256(folder / ROOT / "pack.json")


def _check(file: Path, root: Path, hashes: Mapping[str, str]) -> None:
    for name, sha256 in hashes.items():
        path = root / name
        if not path.is_file() or file_sha256(path) != sha256:
            message = f"{name} in {file} is missing or changed since `edgekit pack` wrote it."
            raise EdgekitError(FailureKind.hash_mismatch, "import", message, "Take the pack as it was written.")


_HINT = "Name the file that `edgekit pack` wrote: --pack FILE.zip"
