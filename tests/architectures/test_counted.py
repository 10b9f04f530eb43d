"""Every binding row of the reference counts (reference/, from published networks that were counted)."""

import csv
from pathlib import Path

import pytest

from edgekit.architectures.cost import cost

REFERENCE = {
    row["key"]: row
    for name in ("counted.csv", "counted_edgetpu.csv")
    for row in csv.DictReader((Path(__file__).parent / "reference" / name).read_text().splitlines())
}

NOT_BUILT = {
    "tv:alexnet",  # not asked for
    "timm:nasnetalarge",
    "tv:inception_v3_aux",  # the auxiliary head
    "mobilenet_v1_full_conv_224",  # tests/inspection/test_full_convolutions.py
    "mobilenet_v1_shallow_224",
    "mobilenet_v3_small_1.0_224_last1280",  # superseded by the paper's version 5
    "timm:mobilenetv3_small_050",  # timm's own network: not the published width rule
    "timm:mobilenet_edgetpu_v2_xs",  # timm has another first convolution than the original
}
"""Rows that bind nothing here."""

TIMM_V3 = {
    "mobilenetv3_large": "mobilenet_v3_large",
    "mobilenetv3_small": "mobilenet_v3_small",
    "tf_mobilenetv3_large": "mobilenet_v3_large",
    "tf_mobilenetv3_small": "mobilenet_v3_small",
    "tf_mobilenetv3_large_minimal": "mobilenet_v3_large_minimalistic",
    "tf_mobilenetv3_small_minimal": "mobilenet_v3_small_minimalistic",
}
FAMILIES = {
    "mobilenetv1": "mobilenet_v1",
    "mobilenetv2": "mobilenet_v2",
    "semnasnet": "mnasnet_a1",
    "mnasnet": "mnasnet_b1",
    "mobilenet_edgetpu": "mobilenet_edgetpu",
    **TIMM_V3,
}
COEFFICIENTS = {  # name -> width, depth (compound_scaling.csv)
    **dict(enumerate([(1, 1), (1, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2, 3.1)])),
    **{"s": (1, 1), "m": (1, 1.1), "l": (1.2, 1.4)},
}


def built(key: str) -> tuple[str, dict]:
    """The architecture and its arguments that a key of the reference means."""
    name = key.partition(":")[2].partition("@")[0] or key
    if key.startswith("mobilenet_edgetpu_v2") or name.startswith("mobilenet_edgetpu_v2"):
        return name, {} if key == name else {"classes": 1000}
    if key.startswith("mobilenet_edgetpu_dm"):
        width, _, keep = key.removeprefix("mobilenet_edgetpu_dm").partition("_")
        return "mobilenet_edgetpu", {"width": float(width), "scale_last": not keep}
    if key.startswith("mobilenet_v"):
        family, width, _resolution, *classes = key.rsplit("_", 3 if key.endswith("1001") else 2)
        return family, {"width": float(width), "classes": int(classes[0]) if classes else 1000}
    if ":efficientnet_b" in key or "tf_efficientnet_b" in key:
        width, depth = COEFFICIENTS[int(name[-1])]
        return "efficientnet", {"width": width, "depth": depth}
    if "tf_efficientnet_lite" in key:
        width, depth = COEFFICIENTS[int(name[-1])]
        return "efficientnet_lite", {"width": width, "depth": depth}
    if "tf_efficientnet_e" in key:
        width, depth = COEFFICIENTS[name[-1]]
        return "efficientnet_edgetpu", {"width": width, "depth": depth}
    if key.startswith("tv:mnasnet"):
        return "mnasnet_b1", {"width": float(name.removeprefix("mnasnet").replace("_", "."))}
    if key.startswith("tv:shufflenet_v2_x"):
        return "shufflenet_v2", {"width": float(name.removeprefix("shufflenet_v2_x").replace("_", "."))}
    family, _, width = name.rpartition("_")
    if family in FAMILIES and width.isdigit():
        classes = {"classes": 1000} if family == "mobilenet_edgetpu" else {}
        return FAMILIES[family], {"width": int(width) / 100, **classes}
    return name.removeprefix("legacy_"), {}


@pytest.mark.parametrize("key", [key for key in REFERENCE if key not in NOT_BUILT])
def test_every_reference_count_is_met_to_the_unit(key):
    row = REFERENCE[key]
    architecture, arguments = built(key)
    counted = cost(architecture, int(row.get("resolution") or 224), **arguments)
    assert (counted.parameters, counted.multiply_adds) == (int(row["params"]), int(row["madds"]))


@pytest.mark.parametrize(
    ("architecture", "resolution", "arguments", "billions"),
    [  # EfficientNet, arXiv:1905.11946v5, Table 3; what is counted, not what is printed
        ("mobilenet_v1", 224, {"width": 2}, 2.216),
        ("mobilenet_v1", 448, {}, 2.272),
        ("mobilenet_v2", 224, {"width": 2}, 1.137),
        ("mobilenet_v2", 448, {}, 1.199),
        ("mobilenet_v2", 224, {"depth": 4}, 1.22),
    ],
)
def test_compound_scaling_of_table_3_is_met(architecture, resolution, arguments, billions):
    assert cost(architecture, resolution, **arguments).multiply_adds == pytest.approx(billions * 1e9, abs=0.0005e9)


@pytest.mark.parametrize(
    ("architecture", "resolution", "arguments", "billions"),
    [  # printed, with no count beside it; ResNet-50's figures for depth and width are exchanged in the paper
        ("mobilenet_v1", 291, {"width": 1.2, "depth": 1.4}, 2.3),
        ("resnet50", 224, {"depth": 4}, 14.7),
        ("resnet50", 224, {"width": 2}, 16.2),
        ("resnet50", 448, {}, 16.4),
        ("efficientnet", 291, {"width": 1.2, "depth": 1.4}, 1.8),
    ],
)
def test_compound_scaling_comes_near_what_table_3_and_7_print(architecture, resolution, arguments, billions):
    assert cost(architecture, resolution, **arguments).multiply_adds == pytest.approx(billions * 1e9, rel=0.07)


@pytest.mark.parametrize(
    ("groups", "width", "millions"),
    [  # arXiv:1707.01083, Tables 1 and 5 (complexity)
        *[(1, 1.0, 143), (2, 1.0, 140), (3, 1.0, 137), (4, 1.0, 133), (8, 1.0, 137)],
        *[(3, 2.0, 524), (3, 1.5, 292), (3, 0.5, 38), (8, 2.0, 522), (8, 1.5, 290), (8, 0.5, 40)],
    ],
)
def test_shufflenet_v1_has_the_papers_complexity(groups, width, millions):
    counted = cost("shufflenet_v1", 224, groups=groups, width=width)
    assert counted.multiply_adds == pytest.approx(millions * 1e6, rel=0.013)


@pytest.mark.parametrize(
    ("groups", "width", "millions"),
    [
        (3, 2.0, 5.4),
        (3, 1.5, 3.4),
        (3, 1.0, 1.9),
        (3, 0.5, 0.7),
        (8, 2.0, 6.5),
        (8, 1.5, 4.3),
        (8, 1.0, 2.4),
        (8, 0.5, 1.0),
    ],
)
def test_shufflenet_v1_has_the_authors_parameters(groups, width, millions):
    counted = cost("shufflenet_v1", 224, groups=groups, width=width)
    assert counted.parameters == pytest.approx(millions * 1e6, abs=0.055e6)  # printed with one digit
