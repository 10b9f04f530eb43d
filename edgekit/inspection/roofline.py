"""Roofline estimate: how fast a machine of a given peak and bandwidth could be at best. Williams et al. 2009."""

from __future__ import annotations

from math import prod
from typing import Literal

from pydantic import BaseModel

from edgekit.architectures.cost import Cost, LayerCost
from edgekit.errors import UsageError

BYTES_PER_VALUE = 4  # float32
OPERATIONS_PER_MULTIPLY_ADD = 2


class Machine(BaseModel):
    """What a processor can do at most: 10^9 floating-point operations per second, 10^9 bytes per second from memory."""

    peak_gflops: float
    bandwidth_gbs: float


class LayerTime(BaseModel):
    """A layer's time on the roofline, and whether the memory or the arithmetic sets it."""

    name: str
    ms: float
    memory_bound: bool


class Roofline(BaseModel):
    """A lower bound of the latency, never a measurement; `memory_bound_share` is of the layers, by number, 0 to 1."""

    kind: Literal["estimated"] = "estimated"
    machine: Machine
    total_ms: float
    memory_bound_share: float
    layers: list[LayerTime]


def machine_of(peak_gflops: float | None, bandwidth_gbs: float | None) -> Machine | None:
    """Return the machine, None if neither figure is given; UsageError for one alone."""
    if peak_gflops is None and bandwidth_gbs is None:
        return None
    if peak_gflops is None or bandwidth_gbs is None:
        raise UsageError(
            "A roofline needs both --peak-gflops and --bandwidth-gbs.",
            "The processor's data sheet has them, or measure them.",
        )
    return Machine(peak_gflops=peak_gflops, bandwidth_gbs=bandwidth_gbs)


def roofline(counted: Cost, machine: Machine) -> Roofline:
    """Estimate each layer's time as the longer of 2 * multiply-adds / peak and bytes moved / bandwidth, in float32.

    Bytes moved are input, output and weights, each once, as if nothing stayed in a cache. Batch norm is taken as folded;
    pooling, additions and activations between the layers are left out.
    """
    layers = [_time(layer, machine) for layer in counted.layers if layer.operator != "batch norm"]
    return Roofline(
        machine=machine,
        total_ms=sum(layer.ms for layer in layers),
        memory_bound_share=sum(layer.memory_bound for layer in layers) / len(layers),
        layers=layers,
    )


def _time(layer: LayerCost, machine: Machine) -> LayerTime:
    moved = BYTES_PER_VALUE * (prod(layer.input) + prod(layer.output) + layer.parameters)
    arithmetic = OPERATIONS_PER_MULTIPLY_ADD * layer.multiply_adds / machine.peak_gflops / 1e6  # ms
    memory = moved / machine.bandwidth_gbs / 1e6  # ms
    return LayerTime(name=layer.name, ms=max(arithmetic, memory), memory_bound=memory > arithmetic)
