"""What a run is asked to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from edgekit.backends.base import backend_of, backends
from edgekit.build.photos import PhotoSet, photo_set
from edgekit.build.worker import usable_cpus
from edgekit.devices.kinds import provider
from edgekit.devices.profile import DeviceProfile, stored_profile
from edgekit.errors import Failure, UsageError
from edgekit.measure.deciding import Goal
from edgekit.protocol import Protocol
from edgekit.recipe.schema import Recipe
from edgekit.target import OTHER_TARGETS, Target, named_targets

Progress = Callable[[str], None]
"""Shows one line of progress to the user."""


@dataclass(frozen=True)
class Plan:
    """One recipe, the targets to build of it, and the photos for calibration."""

    recipe: Recipe
    targets: tuple[Target, ...]
    photos: PhotoSet

    @staticmethod
    def of(recipe: Recipe, targets: Sequence[str], photos: PhotoSet) -> Plan:
        """Check the targets, whole or in part (``int8``); UsageError for one that nothing compiles. No target: the model alone.

        `photos` that are the user's replace those that the recipe names.
        """
        try:
            known = [str(target) for one in backends().values() for target in one.targets]
            names = named_targets(targets, recipe.targets, [name for name in known if name not in OTHER_TARGETS])
        except ValueError as error:
            raise UsageError(str(error)) from error
        parsed = tuple(_parse_target(name) for name in names)
        for target in parsed:
            backend_of(target)
        if recipe.calibration.photos and not photos.own:
            photos = photo_set(Path(recipe.calibration.photos).expanduser())
        return Plan(recipe, parsed, photos)

    @property
    def jobs(self) -> int:
        """How many compilations may run at a time: one per CPU, and per 4 GiB of memory (ExecuTorch's lowering takes 2)."""
        memory = psutil.virtual_memory().total // (4 * 2**30)
        return max(1, min(usable_cpus(), memory))


@dataclass(frozen=True)
class Sweep:
    """Every plan on every device: what ``profile`` does, and what the ledger keeps so that it can be resumed.

    Without devices and protocol everything is only compiled. `unreadable` are recipes, by name, that were asked for and cannot
    be loaded. On each device, at most `repeat_marked` blocks that were disturbed are repeated, and blocks are added `until`
    something is decided.
    With `profile_operators`, the operators of every artifact are profiled after its timing.
    """

    plans: tuple[Plan, ...]
    profiles: tuple[DeviceProfile, ...]
    protocol: Protocol | None
    photos: Path | None
    unreadable: Mapping[str, Failure] = field(default_factory=dict)
    repeat_marked: int = 0
    until: Goal | None = None
    profile_operators: bool = False

    def __post_init__(self) -> None:
        self._check_names()
        for profile in self.profiles:
            provider(profile.kind)  # an unknown kind is an error before hours of compilations

    def _check_names(self) -> None:
        """UsageError if the ledger could not distinguish the results of two recipes."""
        named = Counter((plan.recipe.name, plan.recipe.model.variant) for plan in self.plans)
        for (name, variant), count in named.items():
            if count > 1:
                message = f"{count} of the recipes are named {name} and are of the variant {variant}."
                raise UsageError(message, "Give each a different `name:`. Results are stored by name and variant.")

    @staticmethod
    def of(
        recipes: Sequence[Recipe],
        targets: Sequence[str],
        profiles: Sequence[DeviceProfile],
        protocol: Protocol | None,
        photos: PhotoSet,
        folder: Path | None,
        unreadable: Mapping[str, Failure] | None = None,
    ) -> Sweep:
        """Plan all `recipes` for `targets` with the `photos` of `folder`.

        By default these are :func:`default_targets`.
        """
        plans = tuple(Plan.of(recipe, targets or default_targets(recipe, profiles), photos) for recipe in recipes)
        return Sweep(plans, tuple(profiles), protocol, folder, unreadable or {})

    def cells(self, target: Target) -> set[tuple[str, str | None]]:
        """Return the (target, profile name) pairs that an artifact for `target` is timed as."""
        return {(timed_as, profile.name) for profile in self.profiles for timed_as in profile.timings(target)}

    def written(self) -> dict[str, Any]:
        """Return the sweep as JSON; whole recipes and profiles, so that a resumed run does what was planned."""
        return {
            "recipes": [
                {
                    "recipe": plan.recipe.model_dump(mode="json"),
                    "targets": [str(target) for target in plan.targets],
                    "photos_sha256": plan.photos.sha256,
                }
                for plan in self.plans
            ],
            "devices": [profile.model_dump(mode="json") for profile in self.profiles],
            "protocol": self.protocol.model_dump() if self.protocol else None,
            "photos": str(self.photos.absolute()) if self.photos else None,
            "repeat_marked": self.repeat_marked,
            "until": self.until.model_dump() if self.until else None,
            "profile_operators": self.profile_operators,
        }

    @staticmethod
    def read(written: dict[str, Any]) -> Sweep:
        """Return the sweep that :meth:`written` made.

        UsageError if its photos have changed, a plug-in is missing, or the plan is of an older edgekit.
        """
        try:
            return Sweep._read(written)
        except (KeyError, TypeError, ValidationError) as error:
            message = f"That run's plan cannot be read: {str(error).splitlines()[0]}."
            raise UsageError(
                message, "It was made by another edgekit, or a plug-in is missing. Start a new run."
            ) from error

    @staticmethod
    def _read(written: dict[str, Any]) -> Sweep:
        folder = Path(written["photos"]) if written["photos"] else None
        try:
            photos = photo_set(folder)
            recipes = [(Recipe.model_validate(entry["recipe"]), entry) for entry in written["recipes"]]
            plans = tuple(Plan.of(recipe, entry["targets"], photos) for recipe, entry in recipes)
        except UsageError as error:
            message = f"That run cannot be continued: {error.failure.message}"
            raise UsageError(message, "Bring back what is missing, or start a new run.") from error
        if [plan.photos.sha256 for plan in plans] != [entry["photos_sha256"] for entry in written["recipes"]]:
            raise UsageError("The calibration photos have changed since that run.", "Start a new run.")
        return Sweep(
            plans,
            tuple(stored_profile(profile) for profile in written["devices"]),
            Protocol.model_validate(written["protocol"]) if written["protocol"] else None,
            folder,
            repeat_marked=written.get("repeat_marked", 0),
            until=Goal.model_validate(written["until"]) if written.get("until") else None,
            profile_operators=written.get("profile_operators", False),
        )


def default_targets(recipe: Recipe, profiles: Sequence[DeviceProfile]) -> Sequence[str]:
    """Return the recipe's targets, and those other ones that a tool of a profile times."""
    others = (name for name in OTHER_TARGETS if name not in recipe.targets)
    timed = [name for name in others if any(profile.timings(Target.parse(name)) for profile in profiles)]
    return (*recipe.targets, *timed)


def _parse_target(text: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
