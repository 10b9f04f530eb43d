"""What depthwise separable convolutions save: the same network with full ones. MobileNetV1 paper, Table 4."""

from __future__ import annotations

from math import prod

from edgekit.architectures.cost import Cost, LayerCost

PAIR = ("depthwise", "batch norm", "conv 1x1", "batch norm")
"""How the operators of four successive layers begin that make a depthwise separable convolution."""


def with_full_convolutions(counted: Cost) -> Cost | None:
    """Return the cost of the network with a full convolution for every depthwise separable one.

    A depthwise convolution k x k, its batch norm and the next pointwise convolution become one convolution k x k.
    It has the stride of the first and the output channels of the second, whose batch norm stays.
    MobileNetV1 1.0/224 becomes 4867 M multiply-adds and 29.3 M parameters.
    In inverted residuals the expansion stays and the projection takes the kernel.

    None if the rule does not apply: no layer is depthwise, or there is a layer between the two convolutions, as
    squeeze-and-excitation does.
    """
    layers, replaced = list(counted.layers), []
    while layers:
        following = layers[: len(PAIR)]
        if _is_pair(following):
            depthwise, _, pointwise, norm = following
            replaced += [_full(depthwise, pointwise), norm]
            del layers[: len(PAIR)]
        else:
            replaced.append(layers.pop(0))
    remaining = any(layer.operator.startswith("depthwise") for layer in replaced)
    return None if remaining or len(replaced) == len(counted.layers) else Cost(tuple(replaced))


def _is_pair(layers: list[LayerCost]) -> bool:
    return len(layers) == len(PAIR) and all(
        layer.operator.startswith(begin) for layer, begin in zip(layers, PAIR, strict=True)
    )


def _full(depthwise: LayerCost, pointwise: LayerCost) -> LayerCost:
    kernel = depthwise.multiply_adds // prod(depthwise.output)
    weights = kernel * depthwise.input[0] * pointwise.output[0]
    return LayerCost(
        name=depthwise.name,
        operator=depthwise.operator.replace("depthwise", "conv"),
        input=depthwise.input,
        output=pointwise.output,
        parameters=weights,
        multiply_adds=weights * prod(pointwise.output[1:]),
    )
