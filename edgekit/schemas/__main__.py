"""Write the schemas: ``python -m edgekit.schemas``."""

from __future__ import annotations

import json

from edgekit.schemas import committed, schemas

for name, schema in schemas().items():
    committed(name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
