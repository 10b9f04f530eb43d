"""JSON Schemas of recipes, profiles, protocols and ``--json`` output, committed for editors and scripts.

``python -m edgekit.schemas`` (``make docs``) rewrites them.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edgekit.cache.contents import CacheDocument
from edgekit.comparison.document import DiffDocument
from edgekit.devices.json_schema import profile_schema
from edgekit.devices.listing import DevicesDocument
from edgekit.evaluation.document import EvaluateDocument
from edgekit.exporting import ExportDocument
from edgekit.inspection import InspectDocument
from edgekit.ledger.tools import LedgerInfo
from edgekit.ledger.transfer import ImportDocument
from edgekit.measure.operators import OperatorsDocument
from edgekit.protocol import OwnProtocol
from edgekit.recipe.files import RecipesDocument
from edgekit.recipe.schema import Recipe
from edgekit.report.document import RunDocument
from edgekit.report.text import ReportDocument
from edgekit.search.compound_scaling import ScaleDocument
from edgekit.search.float_layers import QuantizeDocument
from edgekit.selection.document import SelectDocument

PRINTED: dict[str, type[BaseModel]] = {
    "recipes": RecipesDocument,
    "devices": DevicesDocument,
    "inspect": InspectDocument,
    "run": RunDocument,
    "report": ReportDocument,
    "evaluate": EvaluateDocument,
    "quantize": QuantizeDocument,
    "operators": OperatorsDocument,
    "scale": ScaleDocument,
    "cache": CacheDocument,
    "ledger": LedgerInfo,
    "ledger_import": ImportDocument,
    "select": SelectDocument,
    "diff": DiffDocument,
    "export": ExportDocument,
}


def schemas() -> dict[str, dict[str, Any]]:
    """Return name -> JSON Schema, as the code has them."""
    written = {
        "recipe": Recipe.model_json_schema(by_alias=True),
        "device_profile": profile_schema(),
        "protocol": OwnProtocol.model_json_schema(by_alias=True),
    }
    return written | {
        name: model.model_json_schema(by_alias=True, mode="serialization") for name, model in PRINTED.items()
    }


def committed(name: str) -> Path:
    """Return the file of a schema."""
    return Path(str(files("edgekit.schemas") / f"{name}.schema.json"))
