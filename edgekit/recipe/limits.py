"""How far an artifact may be from PyTorch, by precision."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from edgekit.config.yaml import Strict


class FloatLimits(Strict):
    """How far a float artifact may be from PyTorch: largest absolute error, and that error over the largest |logit|."""

    max_absolute: Annotated[float, Field(gt=0)]
    max_relative: Annotated[float, Field(gt=0)]


class Fp32Limits(FloatLimits):
    """The same with the defaults of fp32."""

    max_absolute: Annotated[float, Field(gt=0)] = 1e-3
    max_relative: Annotated[float, Field(gt=0)] = 1e-4


class Fp16Limits(FloatLimits):
    """The same with the defaults of fp16."""

    max_absolute: Annotated[float, Field(gt=0)] = 0.5
    max_relative: Annotated[float, Field(gt=0)] = 0.1


class QuantizedLimits(Strict):
    """How far an int8 artifact may be from PyTorch; docs/parity.md shows what wrong artifacts measure.

    For trained weights:

    - signal-to-noise ratio,
    - agreement on clear decisions,
    - share of decisions that tie at the maximum,
    - share of photos whose outputs reach the end of their range,
    - signal-to-noise ratio of the worst layer alone, if the backend shows its layers.

    With random weights the largest logit is a matter of chance: only `min_snr_db_random` judges them.
    """

    min_snr_db: float = 10.0
    min_agreement: Annotated[float, Field(ge=0, le=1)] = 0.95
    max_ties: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_saturation: Annotated[float, Field(ge=0, le=1)] = 0.1
    min_layer_db: float = 33.0
    min_snr_db_random: float = 3.0


class ParityLimits(Strict):
    """Limits by precision. Limits that are not given keep their defaults. The defaults are explained in docs/architecture.md."""

    fp32: Fp32Limits = Fp32Limits()
    fp16: Fp16Limits = Fp16Limits()
    int8: QuantizedLimits = QuantizedLimits()


PERCENT = r"^\d+(\.\d+)?%$"


def _share(given: object) -> object:
    """Return the number of a text such as ``5%``; anything else as it is."""
    return float(given[:-1]) / 100 if isinstance(given, str) and re.match(PERCENT, given) else given


Share = Annotated[
    float,
    BeforeValidator(_share, json_schema_input_type=float | Annotated[str, Field(pattern=PERCENT)]),
    Field(ge=0, le=1),
]
"""A part of a whole: ``5%`` or 0.05."""
