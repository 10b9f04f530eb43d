"""The schemas that editors read. To write one anew: json.dumps(MODEL.model_json_schema(by_alias=True, mode=MODE), indent=2)."""

import json
from importlib.resources import files

import pytest

from edgekit.devices.profile import DeviceProfile
from edgekit.recipe import Recipe
from edgekit.recipe_files import RecipesDocument

SCHEMAS = {
    "recipe": (Recipe, "validation"),
    "device_profile": (DeviceProfile, "validation"),
    "recipes": (RecipesDocument, "serialization"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_json_schema_is_that_of_the_code(name):
    model, mode = SCHEMAS[name]
    committed = json.loads((files("edgekit") / "schemas" / f"{name}.schema.json").read_text())
    assert committed == model.model_json_schema(by_alias=True, mode=mode)
