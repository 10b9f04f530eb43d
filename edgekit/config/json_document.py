"""What ``--json`` prints: the base of its documents. Their JSON Schemas are in edgekit/schemas."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class JsonDocument(BaseModel):
    """A document for machines; `schema` is the version of its shape."""

    model_config = ConfigDict(extra="forbid", alias_generator=lambda name: name.rstrip("_"), populate_by_name=True)
    schema_: Literal[1] = 1
