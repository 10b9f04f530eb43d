"""What ``edgekit cache list`` shows: how much of each kind, and the artifacts."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from edgekit.cache.store import KINDS, Entry, content_size, entries, unfinished
from edgekit.config.json_document import JsonDocument
from edgekit.config.paths import cache_folder
from edgekit.errors import printable


class KindEntry(BaseModel):
    """One of the cache's kinds, or ``unfinished``: entries and their bytes."""

    kind: str
    number: int
    size_bytes: int


class ArtifactFacts(BaseModel):
    """What the cache knows of an artifact; recipe and target are in the ledger."""

    format: str
    sha256: str
    size_bytes: int


class ArtifactEntry(BaseModel):
    """An artifact in the cache, by its build key. `facts` is None if the entry is damaged; it is rebuilt when needed."""

    build_key: str
    age_seconds: int
    facts: ArtifactFacts | None


class CacheDocument(JsonDocument):
    """What ``edgekit cache list --json`` prints; artifacts newest first."""

    folder: str
    kinds: list[KindEntry]
    artifacts: list[ArtifactEntry]


def cache_contents() -> CacheDocument:
    """Return what the cache holds; UsageError if the cache is not a folder."""
    found = {kind: entries(kind) for kind in KINDS}
    started = [path for kind in KINDS for path in unfinished(kind)]
    kinds = [
        KindEntry(kind=kind, number=len(of_kind), size_bytes=sum(entry.size_bytes for entry in of_kind))
        for kind, of_kind in found.items()
    ]
    kinds.append(KindEntry(kind="unfinished", number=len(started), size_bytes=sum(map(content_size, started))))
    artifacts = [
        ArtifactEntry(build_key=printable(entry.key), age_seconds=round(entry.age_seconds), facts=_facts(entry))
        for entry in found["artifacts"]
    ]
    return CacheDocument(folder=str(cache_folder()), kinds=kinds, artifacts=artifacts)


def _facts(entry: Entry) -> ArtifactFacts | None:
    try:
        return ArtifactFacts.model_validate_json((entry.path / "facts.json").read_bytes())
    except (OSError, ValidationError):
        return None
