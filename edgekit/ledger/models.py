"""The identity of a recorded model, independent of recipe names: two models may share a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def network_hash(architecture: str, arguments: Mapping[str, Any]) -> str:
    """Return what an architecture with its arguments is known by, weights aside: 6 hexadecimal digits."""
    # A newer edgekit's options are null for the models of an older one.
    return _hash([architecture, {name: value for name, value in arguments.items() if value is not None}])


def network_of(manifest: Mapping[str, Any]) -> str:
    """Return the hash of the network of an artifact's manifest."""
    return network_hash(manifest["architecture"], manifest.get("model", {}))


def model_hash(manifest: Mapping[str, Any]) -> str:
    """Return what the model of an artifact's manifest is known by: NETWORK-WEIGHTS, 6 hexadecimal digits each."""
    return f"{network_of(manifest)}-{_hash([manifest.get('weights'), manifest.get('weights_sha256')])}"


def planned_networks(plan: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return recipe's name -> hashes of its networks in a run's plan."""
    found: dict[str, set[str]] = {}
    for planned in plan.get("recipes", []):
        if recipe := planned.get("recipe"):  # the first edgekit wrote plans of `compile` without it
            found.setdefault(recipe["name"], set()).add(network_hash(recipe["architecture"], recipe["model"]))
    return found


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:6]
