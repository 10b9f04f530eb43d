"""What a recipe says of weights: a checkpoint, a seed, or the user's own code."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_serializer, field_validator, model_validator

from edgekit.architectures.key_maps import key_maps
from edgekit.config.yaml import Strict, Written
from edgekit.errors import did_you_mean
from edgekit.redaction import redacted

Seed = Annotated[int, Field(ge=0, lt=2**63)]
CheckpointFile = Annotated[
    str,
    Written(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "only the name of a file that was imported into the cache (edgekit weights import), no path",
    ),
]


class RandomWeights(Strict):
    """Seeded random weights with batch-norm statistics settled on photos."""

    random: Seed


class Weights(Strict):
    """One of: a checkpoint (`url` or `file`, with `sha256`, at least 8 hexadecimal digits); a seed `random`; `source`.

    `source` is for a network from the user's own code: its weights are as the code returns them, and they are ``trained`` or
    ``untrained``. int8 of untrained networks is judged as that of random weights.

    `file` is the name of a checkpoint without an address: it was converted (`edgekit weights convert`) or imported.
    The cache finds it by its hash; the recipe's comment names its origin.
    `entry` is the key of the model's tensors in the file, `prefix` the prefix of their names.
    Both are needed only if the file leaves a choice.
    `mirrors` are addresses of the same file. They are tried in order if `url` fails.
    `new_head` is a seed: it initialises a new last layer of the classifier, so `model.classes` may differ.
    In JSON, as in the ledger, and in hashes, addresses have no passwords or tokens.
    """

    url: str | None = None
    file: CheckpointFile | None = None
    mirrors: tuple[str, ...] = ()
    sha256: Annotated[str, Written("^[0-9a-f]{8,64}$", "8 to 64 hexadecimal digits, in small letters")] | None = None
    entry: str | None = None
    prefix: str | None = None
    key_map: str | None = None
    new_head: Seed | None = None
    fallback: RandomWeights | None = None
    random: Seed | None = None
    source: Literal["trained", "untrained"] | None = None

    @field_validator("key_map")
    @classmethod
    def _known_key_map(cls, name: str | None) -> str | None:
        known = key_maps("edgekit.architectures")
        if name is not None and name not in known:
            raise ValueError(f"unknown key map {name}. {did_you_mean(name, known)}")
        return name

    @model_validator(mode="after")
    def _one_kind(self) -> Weights:
        of_checkpoint = (
            self.url,
            self.file,
            self.mirrors,
            self.sha256,
            self.entry is not None,
            self.prefix is not None,
            self.key_map,
            self.fallback,
            self.new_head is not None,
        )
        if self.random is not None and any(of_checkpoint):
            raise ValueError(
                "give either random or url and sha256, not both (to replace all: --set 'weights={random: 0}')"
            )
        if self.source is not None:
            if self.random is not None or any(of_checkpoint):
                raise ValueError("source is as the code returns them: give nothing beside it")
            return self
        if self.random is None and not ((self.url or self.file) and self.sha256):
            raise ValueError("give url and sha256 (8 digits or more), or random: SEED")
        if self.file and self.url:
            raise ValueError("give either url or file, not both")
        if self.file and self.mirrors:
            raise ValueError("mirrors are those of a url; a file has none")
        for url in self.urls:
            if urlsplit(url).scheme not in {"http", "https"}:
                raise ValueError(f"url is {redacted(url)!r}; write the whole address, beginning with https://")
            if not _has_valid_port(url):
                raise ValueError("the url has no valid host and port; write a / in a password as %2F, an @ as %40")
        return self

    @field_serializer("url", when_used="json")
    def _public_url(self, url: str | None) -> str | None:
        return redacted(url) if url else url

    @field_serializer("mirrors", when_used="json")
    def _public_mirrors(self, mirrors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(redacted, mirrors))

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of the checkpoint, in the order to try; empty for random weights."""
        return (self.url, *self.mirrors) if self.url else ()


def _has_valid_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
