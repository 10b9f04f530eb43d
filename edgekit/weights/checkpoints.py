"""Checkpoints: a cache keyed by SHA-256, downloads that go on and are verified, and key maps between naming schemes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import httpx
from filelock import FileLock

from edgekit.architectures.key_maps import read_key_map
from edgekit.cache.store import file_sha256
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.weights import Weights
from edgekit.redaction import redacted
from edgekit.weights.tensors import (
    check_finite,
    is_safetensors,
    part_label,
    prefix_hint,
    read_tensors,
    without_prefix,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

DownloadProgress = Callable[[int, int | None], None]
"""Called during a download with the bytes so far, and the bytes of the whole file if known."""

TIMEOUT = httpx.Timeout(60, connect=5)  # seconds; an offline machine must fail fast
NO_PASSWORD = "the ledger keeps no passwords: before --resume, run `edgekit weights fetch RECIPE`"
OLD_TORCH = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
"""What torch.save wrote first of all before torch 1.6."""


@dataclass(frozen=True)
class Checkpoint:
    """A file in the cache and the full SHA-256 of its bytes."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """The name of the file that came, without the hash before it."""
        return _name(self.path)


@dataclass(frozen=True)
class Resolved:
    """The weights of a recipe: a checkpoint, a seed, or both (a checkpoint with a random head).

    `warning` is set if a seed replaces a missing checkpoint. `part` is the loaded part of the checkpoint, if it is
    not all of it: ``entry model_ema, prefix module.``. `source`: the weights come from the user's own code.
    """

    checkpoint: Checkpoint | None
    seed: int | None
    warning: str = ""
    part: str = ""
    source: Literal["", "trained", "untrained"] = ""

    @property
    def label(self) -> str:
        """What tables and manifests say: ``FILE``, ``FILE, new head (seed SEED)`` or ``random(SEED)``."""
        part = f" ({self.part})" if self.part else ""
        return self._described(f"{self.checkpoint.name}{part}" if self.checkpoint else "")

    @property
    def identity(self) -> str:
        """What the artifacts depend on: the same with the checkpoint's hash for its file name."""
        return self._described(self.checkpoint.sha256 if self.checkpoint else "")

    @property
    def trained(self) -> bool:
        """Whether all weights are trained, so that the largest logit means something."""
        return self.source == "trained" or (self.checkpoint is not None and self.seed is None)

    def _described(self, checkpoint: str) -> str:
        if self.source:
            return f"the model's own ({self.source})"
        if not checkpoint:
            return f"random({self.seed})"
        return checkpoint if self.trained else f"{checkpoint}, new head (seed {self.seed})"


def weights_folder() -> Path:
    """Return the folder of the checkpoint cache; files are named SHA256-NAME."""
    return cache_folder() / "weights"


def cached_checkpoints() -> list[Checkpoint]:
    """Return the checkpoints in the cache, by name; that their bytes still have the hash in it only :func:`resolve` looks."""
    found = [
        Checkpoint(path, path.name.partition("-")[0]) for path in weights_folder().glob("*-*") if len(path.name) > 65
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.name)


def import_checkpoint(file: Path, sha256: str = "") -> Checkpoint:
    """Copy `file` into the cache; UsageError if it is not a checkpoint.

    EdgekitError (``hash_mismatch``) if its hash does not begin with `sha256`.
    """
    if not file.is_file():
        raise UsageError(f"There is no file at {file}.")
    found = file_sha256(file)
    _check_hash(file.name, found, sha256)
    if problem := _problem(file):
        hint = "TensorFlow graphs and TFLite files become one by: edgekit weights convert"
        raise UsageError(f"{file} is not a checkpoint: {problem}.", hint)
    target = weights_folder() / f"{found}-{file.name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f"{found}.lock"))
    with lock, tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{found[:12]}-") as folder:
        Path(shutil.copyfile(file, Path(folder) / file.name)).replace(target)
    return Checkpoint(target, found)


def resolve(weights: Weights, progress: DownloadProgress | None = None) -> Resolved:
    """Find or download a recipe's weights. If the first address fails or has another file, try its mirrors.

    A cached copy is hashed before use; a damaged copy does not count. EdgekitError (``weights_missing``,
    ``hash_mismatch``) if the file is unavailable and the recipe has no fallback. A wrong hash is an error even with a
    fallback: it shows that something is wrong, not that it is missing.
    """
    if weights.source is not None:
        return Resolved(None, None, source=weights.source)
    if weights.random is not None:
        return Resolved(None, weights.random)
    assert weights.sha256  # the schema's promise
    name = weights.file or PurePosixPath(urlsplit(weights.url or "").path).name or "checkpoint"
    copies = _copies(weights.sha256, name)
    if found := _whole(copies):
        return Resolved(found, weights.new_head)
    reasons, wrong = [], [f"{copy.path} is damaged" for copy in copies]
    for url in weights.urls:
        try:
            return Resolved(_download(url, name, weights.sha256, progress), weights.new_head)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reasons.append(f"{_host(url)}: {_reason(error)}")
        except EdgekitError as error:
            if error.failure.kind is not FailureKind.hash_mismatch:
                raise
            wrong.append(f"{_host(url)}: {error.failure.message.removesuffix('.')}")
    hint = f"Bring the file here and run: edgekit weights import {name} (in a checkout, for some: `make weights`)."
    if weights.file:
        hint = "The recipe's comment names its source. In a checkout: `make weights`."
    if wrong:
        message = f"The weights {name} (SHA-256 {weights.sha256}) are not as asked for: {'; '.join(wrong + reasons)}."
        raise EdgekitError(FailureKind.hash_mismatch, "weights", message, hint, retriable=bool(reasons))
    missing = f"The weights {name} (SHA-256 {weights.sha256}) are not in {weights_folder()}" + (
        f" and could not be downloaded ({'; '.join(reasons)})." if reasons else " and have no address."
    )
    if weights.fallback is None:
        raise EdgekitError(FailureKind.weights_missing, "weights", missing, hint, retriable=True)
    seed = weights.fallback.random
    return Resolved(
        None, seed, f"{missing} Random weights (seed {seed}) replace it: latency is valid, accuracy is not."
    )


def load_checkpoint(
    model: nn.Module,
    checkpoint: Path,
    key_map: str | None,
    new_head: bool = False,
    entry: str | None = None,
    prefix: str | None = None,
) -> str:
    """Load a cached checkpoint (safetensors or torch.save), strictly and tensors only.

    `entry` and `prefix` choose its tensors (:mod:`edgekit.weights.tensors`). Returns which part was taken.
    ``num_batches_tracked`` may be missing, as in old checkpoints: only training reads it.
    With `new_head` the classifier's last layer in `model` is kept.
    EdgekitError (``recipe``) lists missing, extra and misshapen keys and integers in float layers.
    It is also raised for files that are damaged or contain code, and for values that are not finite.
    """
    from torch import nn

    name, own = _name(checkpoint), model.state_dict()

    def renamed(keys: Iterable[str]) -> dict[str, str]:
        return rename_keys(key_map, keys) if key_map else {key: key for key in keys}

    tensors, entry = read_tensors(checkpoint, name, entry)
    tensors, prefix = without_prefix(
        tensors, name, prefix, lambda keys: not own.keys().isdisjoint(renamed(keys).values())
    )
    names = renamed(tensors)
    state = {names[key]: value for key, value in tensors.items() if names[key]}
    state = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")} | state
    last = [layer for layer, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    head = {key: value for key, value in own.items() if key.startswith(f"{last}.")}
    if new_head:
        state |= head
    if problems := _misfits(state, own):
        shown = "; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
        other_classes = any(key in state and state[key].shape != value.shape for key, value in head.items())
        hint = (
            "For another number of classes of a classifier, `weights.new_head: SEED` draws a new last layer."
            if other_classes
            else prefix_hint(state.keys() - own.keys(), own)
        )
        raise EdgekitError(FailureKind.recipe, "weights", f"{name} does not fit the model: {shown}.", hint)
    model.load_state_dict(state, strict=True)
    check_finite(model, name)
    return part_label(entry, prefix)


def _misfits(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return what keeps a checkpoint's tensors from being those of a model: names, shapes and kinds of number."""
    both = [key for key in own if key in state]
    return [
        *(f"missing {key}" for key in own if key not in state),
        *(f"extra {key}" for key in state if key not in own),
        *(
            f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
            for key in both
            if state[key].shape != own[key].shape
        ),
        *(
            f"{key} holds {str(state[key].dtype).removeprefix('torch.')}, not floats"
            for key in both
            if own[key].is_floating_point() and not state[key].is_floating_point()
        ),
    ]


def rename_keys(key_map: str, keys: Iterable[str]) -> dict[str, str]:
    """Return key of a checkpoint -> our name. It is empty for extra tensors, such as auxiliary heads.

    Keys that are not in a list of names stay. Rules are applied in order: the matches of a rule's pattern (a regular
    expression) are replaced by its `edgekit`.
    """
    rows = read_key_map("edgekit.architectures", key_map)
    if rows and "pattern" not in rows[0]:
        names = {row["torchvision"]: row["edgekit"] for row in rows}
        return {key: names.get(key, key) for key in keys}
    rules = [(re.compile(row["pattern"]), row["edgekit"]) for row in rows]

    def renamed(key: str) -> str:
        for pattern, replacement in rules:
            key = pattern.sub(replacement, key)
        return key

    return {key: renamed(key) for key in keys}


def _problem(file: Path) -> str:
    """Return why a file is not a complete checkpoint, else an empty text. Does not need torch."""
    if is_safetensors(file):
        return "" if _is_whole_safetensors(file) else "the .safetensors file is damaged or incomplete"
    with file.open("rb") as opened:
        begin = opened.read(32)
    if begin.startswith(b"PK"):
        return "" if zipfile.is_zipfile(file) else "the file of torch.save is damaged or incomplete"
    return "" if OLD_TORCH in begin else "neither .safetensors nor what torch.save writes"


def _is_whole_safetensors(file: Path) -> bool:
    """Return whether the header is readable and states the size of the file."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > size - 8:
            return False
        try:
            header = json.loads(opened.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            return max(ends, default=0) == size - 8 - length
        except (ValueError, KeyError, IndexError, TypeError):  # it is not JSON, or not of this shape
            return False


def _copies(sha256: str, name: str) -> list[Checkpoint]:
    """Return what the cache has under a hash that begins with `sha256`, first what is called `name`."""
    found = [checkpoint for checkpoint in cached_checkpoints() if checkpoint.sha256.startswith(sha256)]
    return sorted(found, key=lambda checkpoint: checkpoint.name != name)


def _whole(copies: Iterable[Checkpoint]) -> Checkpoint | None:
    """Return the first copy that still has its hash. A disk error or a user may have changed others."""
    return next((copy for copy in copies if file_sha256(copy.path) == copy.sha256), None)


def _name(path: Path) -> str:
    return path.name[65:]  # after the hash and its dash


def _download(url: str, name: str, sha256: str, progress: DownloadProgress | None) -> Checkpoint:
    """Download `url` as `name`. Wait for a download of another process; resume an interrupted one."""
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(redacted(url).encode()).hexdigest()
    part, version = folder / f".{key}-.part", folder / f".{key}-.version"
    with FileLock(folder / f"{key}.lock"):
        if found := _whole(_copies(sha256, name)):
            return found
        _receive(url, part, version, progress)
        digest = file_sha256(part)
        version.unlink(missing_ok=True)
        try:
            _check_hash(name, digest, sha256)
        except EdgekitError:
            part.unlink()
            raise
        return Checkpoint(part.replace(folder / f"{digest}-{name}"), digest)


def _receive(url: str, part: Path, version: Path, progress: DownloadProgress | None) -> None:
    """Fill `part` from `url`. Resume at its end if the server still has the same `version` (ETag or date)."""
    start = part.stat().st_size if part.exists() and version.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # bytes are counted as they lie in the file
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version.read_text(encoding="ascii")}
    with _client() as client, client.stream("GET", url, headers=headers) as response:
        if start and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing, or the file is another one: the hash decides
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            start = 0
            _keep_version(response.headers, version)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as target:
            for chunk in response.iter_bytes():
                target.write(chunk)
                if progress:
                    progress(target.tell(), total)


def _client() -> httpx.Client:
    try:
        return httpx.Client(timeout=TIMEOUT, follow_redirects=True)
    except (OSError, ValueError, ImportError) as error:  # ImportError: a SOCKS proxy without its package
        message = f"the environment's proxy or certificates (ALL_PROXY, SSL_CERT_FILE, ...) cannot be used: {error}"
        raise httpx.ConnectError(message) from error


def _keep_version(headers: httpx.Headers, version: Path) -> None:
    """Keep the version of the file at its address: a strong ETag, else the date."""
    etag = headers.get("ETag", "")
    validator = headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    if validator and validator.isascii():
        version.write_text(validator, encoding="ascii")
    else:
        version.unlink(missing_ok=True)


def _check_hash(name: str, found: str, wanted: str) -> None:
    if not found.startswith(wanted):
        raise EdgekitError(
            FailureKind.hash_mismatch,
            "weights",
            f"{name} has SHA-256 {found}, not {wanted} as asked for.",
            "The file is damaged or another one; get it again.",
        )


def _host(url: str) -> str:
    return urlsplit(redacted(url)).netloc


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        code = error.response.status_code
        return f"the server answered {code}" + (
            f" ({NO_PASSWORD})" if code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN} else ""
        )
    return redacted(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
