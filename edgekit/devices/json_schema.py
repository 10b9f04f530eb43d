"""The JSON Schema of device profiles, for editors: the common keys, and one branch for each kind of edgekit's own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, create_model
from pydantic.json_schema import models_json_schema

from edgekit.devices.kinds import own_kinds
from edgekit.devices.profile import DeviceProfile, config_of


class PluginProfile(DeviceProfile):
    """A profile of a plug-in's kind of device: the common keys, and options that edgekit does not know."""

    model_config = ConfigDict(extra="allow")


def profile_schema() -> dict[str, Any]:
    """Return the schema. Installed plug-ins do not change it."""
    models = {kind: _branch(kind) for kind in own_kinds()}
    plugin: type[DeviceProfile] = PluginProfile
    _, schema = models_json_schema([(model, "validation") for model in (*models.values(), plugin)], by_alias=True)
    parts = schema["$defs"]
    # A discriminated union of pydantic has no branch for kinds that are not listed.
    parts[plugin.__name__]["properties"]["kind"] = {"type": "string", "not": {"enum": list(models)}}
    names = [model.__name__ for model in (*models.values(), plugin)]
    return {"$defs": parts, "title": "DeviceProfile", "oneOf": [{"$ref": f"#/$defs/{name}"} for name in names]}


def _branch(kind: str) -> type[DeviceProfile]:
    config = config_of(kind)
    literal: Any = Literal[kind]
    name = f"{kind.capitalize()}Profile"
    return create_model(name, __base__=config, __doc__=config.__doc__, kind=(literal, ...))
