"""The reference executor against PyTorch, for whole networks and operator by operator."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from torch import Tensor, nn, tensor
from torch.nn import functional

logging.getLogger("coremltools").setLevel(logging.ERROR)  # before its import: it warns about versions there

import coremltools as ct  # noqa: E402
import coremltools.optimize.coreml as cto  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402

from edgekit.architectures.blocks import Conv2dSame, settle_batch_norm  # noqa: E402
from edgekit.architectures.registry import build  # noqa: E402
from edgekit.backends.mil_interpreter import load  # noqa: E402
from edgekit.errors import EdgekitError, FailureKind  # noqa: E402

Image = NDArray[np.float32]


def ran(program, image):
    """Run a program whose only input, whatever its name, is `image`."""
    (name,) = program.input_shapes
    return program.run({name: image})


def photo_crops(count: int, size: int) -> Tensor:
    """(count, 3, size, size) crops of scikit-learn's two photos, normalised to about unit variance."""
    photos = [
        torch.tensor(photo / 64.0 - 2.0, dtype=torch.float32).permute(2, 0, 1) for photo in load_sample_images().images
    ]
    corners = torch.randint(0, 427 - 2 * size, (count, 2), generator=torch.Generator().manual_seed(3)).tolist()
    crops = [
        photos[index % 2][:, top : top + 2 * size : 2, left : left + 2 * size : 2]
        for index, (top, left) in enumerate(corners)
    ]
    return torch.stack(crops)


def convert(model: nn.Module, image: Tensor, path: Path, precision: ct.precision) -> ct.models.MLModel:
    exported = torch.export.export(model, (image,)).run_decompositions({})
    converted = ct.convert(
        exported,
        convert_to="mlprogram",
        inputs=[ct.TensorType("image", image.shape, dtype=np.float32)],
        outputs=[ct.TensorType("logits", dtype=np.float32)],
        compute_precision=precision,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    converted.save(str(path))
    return converted


def save_program(body: Callable, shape: tuple[int, ...], path: Path, precision=ct.precision.FLOAT32, **options) -> Path:
    """Save the one-input ML program that `body` builds, unoptimised so that it keeps its operators."""
    program = mb.program(input_specs=[mb.TensorSpec(shape)], opset_version=ct.target.iOS16)(body)
    options.setdefault("pass_pipeline", ct.PassPipeline.EMPTY)
    converted = ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=precision,
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
        **options,
    )
    converted.save(str(path))
    return path


def random(*shape: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).normal(size=shape, scale=3).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def cheap_garbage_collection() -> Iterator[None]:
    """Every ct.convert collects all garbage: without the imported modules that takes milliseconds, with them 0.2 s."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return tmp_path / "program.mlpackage"


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        Conv2dSame(3, 8, 3, 2),
        nn.Hardswish(),
        Conv2dSame(8, 8, 5, 2, groups=8),
        nn.ReLU6(),
        nn.Conv2d(8, 16, 1),
        nn.Hardsigmoid(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    ).eval()


def only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (output,) = outputs.values()
    return output


def test_small_net_equals_pytorch_in_float32(package: Path) -> None:
    model, image = small_net(), photo_crops(1, 32)
    convert(model, image, package, ct.precision.FLOAT32)
    program = load(package)
    assert (program.input_shapes, program.output_names) == ({"image": (1, 3, 32, 32)}, ("logits",))
    result = only(ran(program, image.numpy()))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, model(image).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_mobilenet_v3_small_in_fp16_follows_pytorch(package: Path) -> None:
    torch.manual_seed(0)
    model, images = build("mobilenet_v3_small", classes=100), photo_crops(16, 96)
    settle_batch_norm(model, (images,))
    convert(model, images[:1], package, ct.precision.FLOAT16)
    program = load(package)
    with torch.inference_mode():
        expected = model(images[:4]).numpy()
    results = np.concatenate([only(ran(program, image[None])) for image in images[:4].numpy()])
    error = np.linalg.norm(results - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert (error < 0.02).all()
    assert (error > 1e-5).all(), "no trace of fp16: the rounding is missing"


def test_compressed_weights_are_expanded(package: Path) -> None:
    model, image = small_net(), photo_crops(1, 32)
    converted = convert(model, image, package, ct.precision.FLOAT16)
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(weight_threshold=0))
    compressed = cto.linear_quantize_weights(converted, config)
    operations = compressed.get_spec().mlProgram.functions["main"].block_specializations["CoreML6"].operations
    assert any(operation.type == "constexpr_affine_dequantize" for operation in operations)
    compressed.save(str(package))
    result, expected = only(ran(load(package), image.numpy())), model(image).detach().numpy()
    np.testing.assert_allclose(result, expected, atol=0.01)
    assert not np.array_equal(result, expected)


def test_fp16_variables_are_rounded_and_sums_are_float32(package: Path) -> None:
    def body(x):
        total = mb.conv(x=x, weight=np.ones((1, 4096, 1, 1), np.float32))  # summed in fp16 it would stop at 2048
        return mb.sub(x=mb.add(x=total, y=np.float32(1)), y=np.float32(4096))  # 4097 is no fp16 number

    image = np.ones((1, 4096, 1, 1), np.float32)
    in_fp16 = save_program(body, image.shape, package, ct.precision.FLOAT16, pass_pipeline=ct.PassPipeline.DEFAULT)
    assert only(ran(load(in_fp16), image)).item() == 0
    in_float32 = save_program(body, image.shape, package.with_name("float32.mlpackage"))
    assert only(ran(load(in_float32), image)).item() == 1


CONVOLUTIONS = {
    "defaults": ({}, {}),
    "strides": ({"strides": [2, 1]}, {"stride": (2, 1)}),
    "dilations": ({"dilations": [1, 2]}, {"dilation": (1, 2)}),
    "groups": ({"groups": 2}, {"groups": 2}),
    "depthwise": ({"groups": 4, "strides": [2, 2]}, {"groups": 4, "stride": 2}),
    "bias": ({"bias": random(8, seed=2)}, {"bias": tensor(random(8, seed=2))}),
    "valid ignores pad": ({"pad_type": "valid", "pad": [1, 1, 1, 1]}, {}),
    "custom": ({"pad_type": "custom", "pad": [1, 1, 2, 2]}, {"padding": (1, 2)}),
    "same": ({"pad_type": "same"}, {"padding": "same"}),
    "same, dilated": ({"pad_type": "same", "dilations": [2, 2]}, {"padding": "same", "dilation": 2}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv(case: str, package: Path) -> None:
    attributes, arguments = CONVOLUTIONS[case]
    image, weight = random(1, 4, 9, 10), random(8, 4 // attributes.get("groups", 1), 3, 3, seed=1)
    save_program(lambda x: mb.conv(x=x, weight=weight, **attributes), image.shape, package)
    expected = functional.conv2d(tensor(image), tensor(weight), **arguments).numpy()
    np.testing.assert_allclose(only(ran(load(package), image)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("pad_type", "pad"),
    [
        # before and after, rows then columns; the input is 9 x 10 (F.pad takes columns first)
        ("custom", (0, 3, 2, 1)),
        ("same", (1, 1, 0, 1)),
        ("same_lower", (1, 1, 1, 0)),
    ],
)
def test_conv_pads_each_side_by_itself(pad_type: str, pad: tuple[int, ...], package: Path) -> None:
    image, weight = random(1, 4, 9, 10), random(8, 4, 3, 3, seed=1)
    attributes = {"pad": pad} if pad_type == "custom" else {}
    save_program(
        lambda x: mb.conv(x=x, weight=weight, strides=[2, 2], pad_type=pad_type, **attributes), image.shape, package
    )
    padded = functional.pad(tensor(image), pad[2:] + pad[:2])
    expected = functional.conv2d(padded, tensor(weight), stride=2).numpy()
    np.testing.assert_allclose(only(ran(load(package), image)), expected, rtol=1e-4, atol=1e-4)


def test_conv_of_one_spatial_dimension(package: Path) -> None:
    image, weight = random(1, 4, 9), random(8, 4, 3, seed=1)
    save_program(lambda x: mb.conv(x=x, weight=weight, pad_type="custom", pad=[2, 0]), image.shape, package)
    padded = functional.pad(tensor(image), (2, 0))
    expected = functional.conv1d(padded, tensor(weight)).numpy()
    np.testing.assert_allclose(only(ran(load(package), image)), expected, rtol=1e-4, atol=1e-4)


WEIGHT, BIAS, OTHER = random(7, 5, seed=4), random(7, seed=5), random(2, 3, 1, 5, seed=6)
OPERATORS = {
    "linear": (
        lambda x: mb.linear(x=x, weight=WEIGHT, bias=BIAS),
        lambda x: functional.linear(x, tensor(WEIGHT), tensor(BIAS)),
        (3, 5),
    ),
    "linear without bias": (
        lambda x: mb.linear(x=x, weight=WEIGHT),
        lambda x: functional.linear(x, tensor(WEIGHT)),
        (3, 5),
    ),
    "relu": (lambda x: mb.relu(x=x), functional.relu, (2, 3, 4, 5)),
    "relu6": (lambda x: mb.relu6(x=x), functional.relu6, (2, 3, 4, 5)),
    "clip": (lambda x: mb.clip(x=x, alpha=-1.0, beta=2.0), lambda x: x.clamp(-1, 2), (2, 3, 4, 5)),
    "sigmoid_hard": (lambda x: mb.sigmoid_hard(x=x, alpha=1 / 6, beta=0.5), functional.hardsigmoid, (2, 3, 4, 5)),
    "thresholded_relu": (
        lambda x: mb.thresholded_relu(x=x, alpha=-3.0),
        lambda x: functional.threshold(x, -3.0, 0.0),
        (2, 3, 4, 5),
    ),
    "add": (lambda x: mb.add(x=x, y=OTHER), lambda x: x + tensor(OTHER), (2, 3, 4, 5)),
    "sub, reversed": (lambda x: mb.sub(x=OTHER, y=x), lambda x: tensor(OTHER) - x, (2, 3, 4, 5)),
    "mul": (lambda x: mb.mul(x=x, y=OTHER), lambda x: x * tensor(OTHER), (2, 3, 4, 5)),
    "mul by itself": (lambda x: mb.mul(x=x, y=x), lambda x: x * x, (2, 3, 4, 5)),
    "real_div": (lambda x: mb.real_div(x=x, y=OTHER), lambda x: x / tensor(OTHER), (2, 3, 4, 5)),
    "concat": (
        lambda x: mb.concat(values=[x, OTHER], axis=2),
        lambda x: torch.cat([x, tensor(OTHER)], 2),
        (2, 3, 4, 5),
    ),
    "concat, interleaved": (
        lambda x: mb.concat(values=[x, mb.relu(x=x)], axis=1, interleave=True),
        lambda x: torch.stack([x, x.relu()], 2).reshape(2, 6, 4, 5),
        (2, 3, 4, 5),
    ),
    "reduce_mean": (
        lambda x: mb.reduce_mean(x=x, axes=[-1, 2], keep_dims=True),
        lambda x: x.mean((2, 3), keepdim=True),
        (2, 3, 4, 5),
    ),
    "reduce_mean of all": (
        lambda x: mb.reduce_mean(x=x, keep_dims=True),
        lambda x: x.mean((0, 1, 2, 3), True),
        (2, 3, 4, 5),
    ),
    "reduce_mean, rank reduced": (lambda x: mb.reduce_mean(x=x, axes=[1]), lambda x: x.mean(1), (2, 3, 4, 5)),
    "reduce_l2_norm": (
        lambda x: mb.reduce_l2_norm(x=x, axes=[1], keep_dims=True),
        lambda x: (x * x).sum(1, keepdim=True).sqrt(),
        (2, 3, 4, 5),
    ),
    "maximum": (
        lambda x: mb.maximum(x=x, y=OTHER),
        lambda x: torch.where(x > tensor(OTHER), x, tensor(OTHER)),
        (2, 3, 4, 5),
    ),
    "reshape": (lambda x: mb.reshape(x=x, shape=[4, -1]), lambda x: x.reshape(4, -1), (2, 3, 4, 5)),
    "reshape, inherited": (lambda x: mb.reshape(x=x, shape=[0, 3, 0, -1]), lambda x: x, (2, 3, 4, 5)),
    "sigmoid": (lambda x: mb.sigmoid(x=x), torch.sigmoid, (2, 3, 4, 5)),
    "silu": (lambda x: mb.silu(x=x), functional.silu, (2, 3, 4, 5)),
    "softmax": (lambda x: mb.softmax(x=x, axis=1), lambda x: x.softmax(1), (2, 3, 4, 5)),
    "transpose": (lambda x: mb.transpose(x=x, perm=[0, 2, 1, 3]), lambda x: x.transpose(1, 2), (2, 3, 4, 5)),
    "slice_by_index": (
        lambda x: mb.slice_by_index(
            x=x,
            begin=[0, 1, 0, 1],
            end=[0, 3, 4, 5],
            stride=[1, 1, 2, 3],
            begin_mask=[True] + [False] * 3,
            end_mask=[True] + [False] * 3,
        ),
        lambda x: x[:, 1:3, ::2, 1::3],
        (2, 3, 4, 5),
    ),
    "slice_by_index, squeezed": (
        lambda x: mb.slice_by_index(
            x=x, begin=[0, 1, 0, 0], end=[2, 2, 4, 5], squeeze_mask=[False, True, False, False]
        ),
        lambda x: x[:, 1],
        (2, 3, 4, 5),
    ),
    "max_pool": (
        lambda x: mb.max_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
        lambda x: functional.max_pool2d(x - 9, 3, 2, 1) + 9,
        (1, 3, 7, 8),
    ),
    "max_pool, valid": (
        lambda x: mb.max_pool(x=x, kernel_sizes=[2, 3], strides=[2, 1], pad_type="valid"),
        lambda x: functional.max_pool2d(x, (2, 3), (2, 1)),
        (1, 3, 7, 8),
    ),
    "max_pool, same": (
        lambda x: mb.max_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="same"),
        lambda x: functional.max_pool2d(functional.pad(x, (0, 1, 1, 1), value=-99.0), 3, 2),
        (1, 3, 7, 8),
    ),
    "max_pool, rounded up": (
        lambda x: mb.max_pool(
            x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[0, 0, 0, 0], ceil_mode=True
        ),
        lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True),
        (1, 3, 8, 8),
    ),
    "avg_pool": (
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
        lambda x: functional.avg_pool2d(x, 3, 2, 1),
        (1, 3, 7, 8),
    ),
    "avg_pool without its padding": (
        lambda x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[1, 1], pad_type="same", exclude_padding_from_average=True
        ),
        lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        (1, 3, 7, 8),
    ),
    "squeeze": (lambda x: mb.squeeze(x=x, axes=[-1]), lambda x: x.squeeze(-1), (1, 3, 4, 1)),
    "squeeze all": (lambda x: mb.squeeze(x=x), lambda x: x.squeeze(), (1, 3, 4, 1)),
    "expand_dims": (lambda x: mb.expand_dims(x=x, axes=[3, -3]), lambda x: x[:, None, :, None], (3, 4)),
    "cast": (
        lambda x: mb.cast(x=mb.cast(x=x, dtype="int32"), dtype="fp32"),
        lambda x: x.to(torch.int32).float(),
        (2, 3, 4, 5),
    ),
    "cast to fp16": (
        lambda x: mb.cast(x=mb.cast(x=x, dtype="fp16"), dtype="fp32"),
        lambda x: x.half().float(),
        (2, 3, 4, 5),
    ),
    "pad": (
        lambda x: mb.pad(x=x, pad=[0, 0, 0, 0, 0, 1, 2, 3], constant_val=-1.5),
        lambda x: functional.pad(x, (2, 3, 0, 1), value=-1.5),
        (2, 3, 4, 5),
    ),
    "pad of the last dimension": (lambda x: mb.pad(x=x, pad=[0, 2]), lambda x: functional.pad(x, (0, 2)), (2, 3, 4, 5)),
    "identity": (lambda x: mb.identity(x=x), lambda x: x, (2, 3, 4, 5)),
    "upsample_bilinear": (
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2.0, scale_factor_width=257 / 33, align_corners=True),
        lambda x: functional.interpolate(x, (8, 257), mode="bilinear", align_corners=True),
        (2, 3, 4, 33),
    ),
}


@pytest.mark.parametrize("case", OPERATORS)
def test_operator(case: str, package: Path) -> None:
    body, reference, shape = OPERATORS[case]
    image = random(*shape)
    save_program(body, shape, package)
    expected = reference(tensor(image)).numpy()
    result = only(ran(load(package), image))
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_unknown_operators_are_all_named_when_loading(package: Path) -> None:
    save_program(lambda x: mb.relu(x=mb.sin(x=mb.softsign(x=mb.exp(x=x)))), (1, 4), package)
    with pytest.raises(EdgekitError, match=r": exp, sin, softsign$") as error:
        load(package)
    assert error.value.failure.kind is FailureKind.unsupported_operator
    assert error.value.failure.stage == "parity"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (lambda x: mb.pad(x=x, pad=[1, 1, 1, 1], mode="reflect"), "pad with mode reflect"),
        (
            lambda x: mb.avg_pool(
                x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[0] * 4, ceil_mode=True
            ),
            "avg_pool with ceil_mode",
        ),
        (
            lambda x: mb.slice_by_index(x=x, begin=[0, 2, 0, 0], end=[1, 0, 4, 5], stride=[1, -1, 1, 1]),
            "slice_by_index with a negative stride",
        ),
    ],
)
def test_unknown_attribute_is_named(body: Callable, named: str, package: Path) -> None:
    save_program(body, (1, 3, 4, 5), package)
    program = load(package)
    with pytest.raises(EdgekitError, match=named) as error:
        ran(program, random(1, 3, 4, 5))
    assert error.value.failure.kind is FailureKind.unsupported_operator


def test_several_outputs_come_by_name(package: Path) -> None:
    save_program(lambda x: (mb.relu(x=x, name="first"), mb.sub(x=x, y=1.0, name="second")), (1, 4), package)
    image = random(1, 4)
    outputs = ran(load(package), image)
    assert tuple(outputs) == load(package).output_names == ("first", "second")
    np.testing.assert_allclose(outputs["first"], np.maximum(image, 0), rtol=1e-5)
    np.testing.assert_allclose(outputs["second"], image - 1, rtol=1e-5)


def test_image_of_another_shape_is_refused(package: Path) -> None:
    save_program(lambda x: mb.relu(x=x), (1, 3, 4, 5), package)
    program = load(package)
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 5\), not \(1, 3, 5, 5\)"):
        ran(program, random(1, 3, 5, 5))
