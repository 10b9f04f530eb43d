"""State dicts of public checkpoints, as their libraries' sources name them: key -> shape."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

from edgekit.architectures.blocks import make_divisible

Shape = tuple[int, ...]


class State(dict[str, Shape]):
    """Grows by layers."""

    def conv(
        self, name: str, inputs: int, outputs: int, kernel: int | Shape, groups: int = 1, bias: bool = False
    ) -> None:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        self[f"{name}.weight"] = (outputs, inputs // groups, *sides)
        if bias:
            self[f"{name}.bias"] = (outputs,)

    def norm(self, name: str, channels: int) -> None:
        self |= {f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")}
        self[f"{name}.num_batches_tracked"] = ()

    def both(self, conv: str, norm: str, inputs: int, outputs: int, kernel: int | Shape, groups: int = 1) -> None:
        self.conv(conv, inputs, outputs, kernel, groups)
        self.norm(norm, outputs)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = (outputs, inputs), (outputs,)


STAGES = ((1, 3, 16, 1), (6, 3, 24, 2), (6, 5, 40, 2), (6, 3, 80, 3), (6, 5, 112, 3), (6, 5, 192, 4), (6, 3, 320, 1))


def torchvision_efficientnet(width: float, depth: float) -> State:
    """features.STAGE.BLOCK.block.LAYER; torchvision/models/efficientnet.py."""
    state = State()
    channels = make_divisible(32 * width)
    state.both("features.0.0", "features.0.1", 3, channels, 3)
    for stage, (expansion, kernel, out, layers) in enumerate(STAGES, start=1):
        for block in range(ceil(layers * depth)):
            outputs, expanded = make_divisible(out * width), channels * expansion
            name, index = f"features.{stage}.{block}.block", 0
            if expansion > 1:
                state.both(f"{name}.0.0", f"{name}.0.1", channels, expanded, 1)
                index = 1
            state.both(f"{name}.{index}.0", f"{name}.{index}.1", expanded, expanded, kernel, expanded)
            squeezed = channels // 4
            state.conv(f"{name}.{index + 1}.fc1", expanded, squeezed, 1, bias=True)
            state.conv(f"{name}.{index + 1}.fc2", squeezed, expanded, 1, bias=True)
            state.both(f"{name}.{index + 2}.0", f"{name}.{index + 2}.1", expanded, outputs, 1)
            channels = outputs
    state.both("features.8.0", "features.8.1", channels, 4 * channels, 1)
    state.linear("classifier.1", 4 * channels, 1000)
    return state


def torchvision_mnasnet(width: float) -> State:
    """layers.N with convolution, norm and ReLU in a row; torchvision/models/mnasnet.py."""
    state = State()
    first, second = make_divisible(32 * width), make_divisible(16 * width)
    state.both("layers.0", "layers.1", 3, first, 3)
    state.both("layers.3", "layers.4", first, first, 3, first)
    state.both("layers.6", "layers.7", first, second, 1)
    channels = second
    table = ((3, 24, 3, 3), (5, 40, 3, 3), (5, 80, 3, 6), (3, 96, 2, 6), (5, 192, 4, 6), (3, 320, 1, 6))
    for index, (kernel, out, layers, expansion) in enumerate(table, start=8):
        for layer in range(layers):
            outputs, expanded, name = (
                make_divisible(out * width),
                channels * expansion,
                f"layers.{index}.{layer}.layers",
            )
            state.both(f"{name}.0", f"{name}.1", channels, expanded, 1)
            state.both(f"{name}.3", f"{name}.4", expanded, expanded, kernel, expanded)
            state.both(f"{name}.6", f"{name}.7", expanded, outputs, 1)
            channels = outputs
    state.both("layers.14", "layers.15", channels, 1280, 1)
    state.linear("classifier.1", 1280, 1000)
    return state


def timm(stem: int, stages: tuple[tuple, ...], last: int) -> State:
    """blocks.STAGE.BLOCK; stages are (type, kernel, expansion, outputs, layers, SE); timm/models/_efficientnet_blocks.py."""
    state = State()
    state.both("conv_stem", "bn1", 3, stem, 3)
    channels = stem
    for stage, (kind, kernel, expansion, outputs, layers, se) in enumerate(stages):
        for block in range(layers):
            name, expanded = f"blocks.{stage}.{block}", channels * expansion
            if kind == "ds":
                state.both(f"{name}.conv_dw", f"{name}.bn1", channels, channels, kernel, channels)
                state.both(f"{name}.conv_pw", f"{name}.bn2", channels, outputs, 1)
            elif kind == "er":
                expanded = outputs * expansion if stage == 0 else expanded
                state.both(f"{name}.conv_exp", f"{name}.bn1", channels, expanded, kernel)
                state.both(f"{name}.conv_pwl", f"{name}.bn2", expanded, outputs, 1)
            else:
                state.both(f"{name}.conv_pw", f"{name}.bn1", channels, expanded, 1)
                state.both(f"{name}.conv_dw", f"{name}.bn2", expanded, expanded, kernel, expanded)
                state.both(f"{name}.conv_pwl", f"{name}.bn3", expanded, outputs, 1)
            if se:
                state.conv(f"{name}.se.conv_reduce", expanded, channels // 4, 1, bias=True)
                state.conv(f"{name}.se.conv_expand", channels // 4, expanded, 1, bias=True)
            channels = outputs
    state.both("conv_head", "bn2", channels, last, 1)
    state.linear("classifier", last, 1000)
    return state


def timm_mnasnet_a1() -> State:
    """Of timm's semnasnet_100."""
    ir = [(3, 6, 24, 2, 0), (5, 3, 40, 3, 1), (3, 6, 80, 4, 0), (3, 6, 112, 2, 1), (5, 6, 160, 3, 1), (3, 6, 320, 1, 0)]
    return timm(32, (("ds", 3, 1, 16, 1, 0), *(("ir", *row) for row in ir)), 1280)


def timm_mnasnet_small() -> State:
    """Of timm's mnasnet_small."""
    ir = [(3, 3, 16, 1, 0), (3, 6, 16, 2, 0), (5, 6, 32, 4, 1), (3, 6, 32, 3, 1), (5, 6, 88, 3, 1), (3, 6, 144, 1, 0)]
    return timm(8, (("ds", 3, 1, 8, 1, 0), *(("ir", *row) for row in ir)), 1280)


def timm_efficientnet_lite(width: float, depth: float) -> State:
    """Of timm's tf_efficientnet_liteN."""
    inner = [
        ("ir", kernel, expansion, make_divisible(out * width), layers if out == 320 else ceil(layers * depth), 0)
        for expansion, kernel, out, layers in STAGES[1:]
    ]
    return timm(32, (("ds", 3, 1, make_divisible(16 * width), 1, 0), *inner), 1280)


def timm_efficientnet_edgetpu(width: float, depth: float) -> State:
    """Of timm's tf_efficientnet_es, em and el."""
    rows = [("er", 3, 4, 24, 1), ("er", 3, 8, 32, 2), ("er", 3, 8, 48, 4), ("ir", 5, 8, 96, 5), ("ir", 5, 8, 144, 4)]
    stages = [
        (kind, kernel, expansion, make_divisible(out * width), ceil(layers * depth), 0)
        for kind, kernel, expansion, out, layers in [*rows, ("ir", 5, 8, 192, 2)]
    ]
    return timm(make_divisible(32 * width), tuple(stages), make_divisible(1280 * width))


def timm_xception() -> State:
    """blockN.rep, ReLU first except in block1; timm/models/xception.py."""
    state = State()
    state.both("conv1", "bn1", 3, 32, 3)
    state.both("conv2", "bn2", 32, 64, 3)

    def separable(name: str, norm: str, inputs: int, outputs: int) -> None:
        state.conv(f"{name}.conv1", inputs, inputs, 3, inputs)
        state.conv(f"{name}.pointwise", inputs, outputs, 1)
        state.norm(norm, outputs)

    blocks = [(64, 128, 128), (128, 256, 256), (256, 728, 728), *[(728, 728, 728, 728)] * 8, (728, 728, 1024)]
    for number, channels in enumerate(blocks, start=1):
        index = 0 if number == 1 else 1
        for inputs, outputs in pairwise(channels):
            separable(f"block{number}.rep.{index}", f"block{number}.rep.{index + 1}", inputs, outputs)
            index += 3
        if number in {1, 2, 3, 12}:
            state.both(f"block{number}.skip", f"block{number}.skipbn", channels[0], channels[-1], 1)
    separable("conv3", "bn3", 1024, 1536)
    separable("conv4", "bn4", 1536, 2048)
    state.linear("fc", 2048, 1000)
    return state


def _basic(state: State, name: str, inputs: int, outputs: int, kernel: int | Shape) -> None:
    state.both(f"{name}.conv", f"{name}.bn", inputs, outputs, kernel)


def torchvision_googlenet() -> State:
    """inceptionNx.branchN; torchvision/models/googlenet.py."""
    state = State()
    for name, inputs, outputs, kernel in (("conv1", 3, 64, 7), ("conv2", 64, 64, 1), ("conv3", 64, 192, 3)):
        _basic(state, name, inputs, outputs, kernel)
    table = {
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }
    for name, (inputs, one, reduce3, three, reduce5, five, pool) in table.items():
        _basic(state, f"inception{name}.branch1", inputs, one, 1)
        _basic(state, f"inception{name}.branch2.0", inputs, reduce3, 1)
        _basic(state, f"inception{name}.branch2.1", reduce3, three, 3)
        _basic(state, f"inception{name}.branch3.0", inputs, reduce5, 1)
        _basic(state, f"inception{name}.branch3.1", reduce5, five, 3)
        _basic(state, f"inception{name}.branch4.1", inputs, pool, 1)
    for name, inputs in (("aux1", 512), ("aux2", 528)):
        _basic(state, f"{name}.conv", inputs, 128, 1)
        state.linear(f"{name}.fc1", 2048, 1024)
        state.linear(f"{name}.fc2", 1024, 1000)
    state.linear("fc", 1024, 1000)
    return state


def torchvision_inception_v3() -> State:
    """Mixed_NX.branchNxN_N; torchvision/models/inception.py."""
    state = State()
    firsts = (("1a_3x3", 3, 32, 3), ("2a_3x3", 32, 32, 3), ("2b_3x3", 32, 64, 3), ("3b_1x1", 64, 80, 1))
    for name, inputs, outputs, kernel in (*firsts, ("4a_3x3", 80, 192, 3)):
        _basic(state, f"Conv2d_{name}", inputs, outputs, kernel)

    def mixed(name: str, inputs: int, chains: dict[str, list[tuple[int, int | Shape]]]) -> None:
        for branch, layers in chains.items():
            channels = inputs
            for number, (outputs, kernel) in enumerate(layers, start=1):
                suffix = f"_{number}" if len(layers) > 1 else ""
                _basic(state, f"Mixed_{name}.branch{branch}{suffix}", channels, outputs, kernel)
                channels = outputs

    double = [(64, 1), (96, 3), (96, 3)]
    for name, inputs, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        mixed(name, inputs, {"1x1": [(64, 1)], "5x5": [(48, 1), (64, 5)], "3x3dbl": double, "_pool": [(pool, 1)]})
    mixed("6a", 288, {"3x3": [(384, 3)], "3x3dbl": double})
    row, column = (1, 7), (7, 1)
    for name, n in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        seven = [(n, 1), (n, row), (192, column)]
        twice = [(n, 1), (n, column), (n, row), (n, column), (192, row)]
        mixed(name, 768, {"1x1": [(192, 1)], "7x7": seven, "7x7dbl": twice, "_pool": [(192, 1)]})
    mixed("7a", 768, {"3x3": [(192, 1), (320, 3)], "7x7x3": [(192, 1), (192, row), (192, column), (192, 3)]})
    for name, inputs in (("7b", 1280), ("7c", 2048)):
        mixed(name, inputs, {"1x1": [(320, 1)], "3x3dbl": [(448, 1), (384, 3)], "_pool": [(192, 1)]})
        _basic(state, f"Mixed_{name}.branch3x3_1", inputs, 384, 1)
        for branch in ("3x3_2", "3x3dbl_3"):
            _basic(state, f"Mixed_{name}.branch{branch}a", 384, 384, (1, 3))
            _basic(state, f"Mixed_{name}.branch{branch}b", 384, 384, (3, 1))
    _basic(state, "AuxLogits.conv0", 768, 128, 1)
    _basic(state, "AuxLogits.conv1", 128, 768, 5)
    state.linear("AuxLogits.fc", 768, 1000)
    state.linear("fc", 2048, 1000)
    return state


def ml_illustrated_efficientnet_lite(width: float, depth: float) -> State:
    """_blocks.N numbered through; the efficientnet_lite_pytorch package."""
    state = State()
    state.both("_conv_stem", "_bn0", 3, 32, 3)
    channels, number = 32, 0
    for expansion, kernel, out, layers in STAGES:
        for _ in range(layers if out in {16, 320} else ceil(layers * depth)):
            outputs, expanded, name = make_divisible(out * width), channels * expansion, f"_blocks.{number}"
            if expansion > 1:
                state.both(f"{name}._expand_conv", f"{name}._bn0", channels, expanded, 1)
            state.both(f"{name}._depthwise_conv", f"{name}._bn1", expanded, expanded, kernel, expanded)
            state.both(f"{name}._project_conv", f"{name}._bn2", expanded, outputs, 1)
            channels, number = outputs, number + 1
    state.both("_conv_head", "_bn1", channels, 1280, 1)
    state.linear("_fc", 1280, 1000)
    return state


def torchvision_resnet(blocks: tuple[int, ...], bottleneck: bool) -> State:
    """layerN.N.convN; torchvision/models/resnet.py."""
    state = State()
    state.both("conv1", "bn1", 3, 64, 7)
    channels = 64
    for layer, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=1):
        outputs = width * (4 if bottleneck else 1)
        for block in range(count):
            name = f"layer{layer}.{block}"
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            inputs = channels
            for number, kernel in enumerate(kernels, start=1):
                out = outputs if number == len(kernels) else width
                state.both(f"{name}.conv{number}", f"{name}.bn{number}", inputs, out, kernel)
                inputs = out
            if block == 0 and (layer > 1 or bottleneck):
                state.both(f"{name}.downsample.0", f"{name}.downsample.1", channels, outputs, 1)
            channels = outputs
    state.linear("fc", channels, 1000)
    return state


def torchvision_shufflenet_v2() -> State:
    """stageN.N.branchN; torchvision/models/shufflenetv2.py, x1.0."""
    state = State()
    state.both("conv1.0", "conv1.1", 3, 24, 3)
    channels = 24
    for stage, (outputs, count) in enumerate(((116, 4), (232, 8), (464, 4)), start=2):
        for unit in range(count):
            name, half = f"stage{stage}.{unit}", outputs // 2
            if unit == 0:
                state.both(f"{name}.branch1.0", f"{name}.branch1.1", channels, channels, 3, channels)
                state.both(f"{name}.branch1.2", f"{name}.branch1.3", channels, half, 1)
            state.both(f"{name}.branch2.0", f"{name}.branch2.1", channels if unit == 0 else half, half, 1)
            state.both(f"{name}.branch2.3", f"{name}.branch2.4", half, half, 3, half)
            state.both(f"{name}.branch2.5", f"{name}.branch2.6", half, half, 1)
            channels = outputs
    state.both("conv5.0", "conv5.1", channels, 1024, 1)
    state.linear("fc", 1024, 1000)
    return state


def torchvision_vgg16() -> State:
    """features.N; torchvision/models/vgg.py."""
    state = State()
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    channels = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    for index, inputs, outputs in zip(indices, channels, channels[1:], strict=False):
        state.conv(f"features.{index}", inputs, outputs, 3, bias=True)
    for index, inputs, outputs in ((0, 25088, 4096), (3, 4096, 4096), (6, 4096, 1000)):
        state.linear(f"classifier.{index}", inputs, outputs)
    return state


def torchvision_squeezenet(first: tuple[int, int], fires: dict[int, tuple[int, int, int]]) -> State:
    """features.N.squeeze and expand; torchvision/models/squeezenet.py."""
    state = State()
    state.conv("features.0", 3, *first, bias=True)
    channels = first[0]
    for index, (squeeze, one, three) in fires.items():
        state.conv(f"features.{index}.squeeze", channels, squeeze, 1, bias=True)
        state.conv(f"features.{index}.expand1x1", squeeze, one, 1, bias=True)
        state.conv(f"features.{index}.expand3x3", squeeze, three, 3, bias=True)
        channels = one + three
    state.conv("classifier.1", 512, 1000, 1, bias=True)
    return state
