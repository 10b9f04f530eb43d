import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from edgekit.architectures.key_maps import key_maps, read_key_map
from edgekit.architectures.registry import build
from edgekit.errors import EdgekitError, UsageError
from edgekit.weights import importers

MODELS = {
    "slim_mobilenet_v1": ("mobilenet_v1", {"classes": 1001}),
    "object_detection_ssd_mobilenet_v2": ("ssd_mobilenet_v2", {}),
    "tflite_deeplabv3_mobilenet_v2": ("deeplabv3_mobilenet_v2", {"width": 0.5, "aspp": False, "divisor": 1}),
}


@pytest.mark.parametrize("name", key_maps("edgekit.weights.importers"))
def test_a_key_map_makes_each_of_our_tensors_once_by_a_known_rule(name):
    architecture, arguments = MODELS[name]
    rows = read_key_map("edgekit.weights.importers", name)
    ours = [key for key in build(architecture, **arguments).state_dict() if not key.endswith("num_batches_tracked")]
    assert sorted(row["edgekit"] for row in rows) == sorted(ours)
    assert {row["rule"] for row in rows} <= importers.RULES.keys()


@pytest.fixture
def graph(tmp_path):
    """A TensorFlow graph of three constants; one is stored as a single repeated value."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'edgekit[import]'")
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    for name, values, repeated in (("w", np.arange(54).reshape(3, 3, 2, 3), False), ("b", np.full(4, 7), True)):
        node = graph.node.add(name=name, op="Const")
        tensor = node.attr["value"].tensor
        tensor.dtype = 1
        for side in values.shape:
            tensor.tensor_shape.dim.add(size=side)
        if repeated:
            tensor.float_val.append(float(values.flat[0]))
        else:
            tensor.tensor_content = values.astype("<f4").tobytes()
    graph.node.add(name="w/read", op="Identity")
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    return tmp_path / "graph.pb"


def test_a_graphs_constants_are_read(graph):
    constants = importers.read_graph_def(graph)
    assert set(constants) == {"w", "b"}
    np.testing.assert_array_equal(constants["w"], np.arange(54, dtype=np.float32).reshape(3, 3, 2, 3))
    np.testing.assert_array_equal(constants["b"], [7, 7, 7, 7])


def test_what_the_source_lacks_is_said(graph, tmp_path):
    with pytest.raises(EdgekitError, match=r"graph\.pb does not fit the key map slim_mobilenet_v1.*137 tensors"):
        importers.convert(graph, "slim_mobilenet_v1", tmp_path / "out.safetensors")


def test_another_kind_of_file_and_another_key_map_are_refused(tmp_path):
    with pytest.raises(UsageError, match="neither"):
        importers.convert(tmp_path / "model.h5", "slim_mobilenet_v1", tmp_path / "out.safetensors")
    with pytest.raises(UsageError, match="no key map named slim"):
        read_key_map("edgekit.weights.importers", "slim")


def test_layouts_of_weights_become_pytorchs():
    weights = torch.randn(4, 2, 3, 3)
    rules = importers.RULES
    assert np.array_equal(rules["tf_conv"](weights.permute(2, 3, 1, 0).numpy()), weights)
    assert np.array_equal(rules["tflite_conv"](weights.permute(0, 2, 3, 1).numpy()), weights)
    depthwise = torch.randn(2, 1, 3, 3)
    assert np.array_equal(rules["tf_depthwise"](depthwise.permute(2, 3, 0, 1).numpy()), depthwise)
    assert np.array_equal(rules["tflite_depthwise"](depthwise.permute(1, 2, 3, 0).numpy()), depthwise)
    linear = torch.randn(7, 2)
    assert np.array_equal(rules["tf_linear"](linear.T[None, None].numpy()), linear)


def test_a_folded_batch_norm_only_adds_its_bias():
    bias = np.float32([1, -2])
    norm = nn.BatchNorm2d(2, eps=1e-3)
    rules = {"weight": "folded_scale", "bias": "same", "running_mean": "zeros", "running_var": "ones"}
    norm.load_state_dict(
        {key: torch.from_numpy(importers.RULES[rule](bias)) for key, rule in rules.items()}, strict=False
    )
    values = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(norm.eval()(values), values + torch.from_numpy(bias)[:, None, None])


def test_a_tflite_files_constants_are_read_and_converted(tmp_path, monkeypatch):
    litert_torch = pytest.importorskip("litert_torch")
    convolution = nn.Conv2d(3, 4, 3).eval()
    litert_torch.convert(convolution, (torch.zeros(1, 3, 8, 8),)).export(str(tmp_path / "net.tflite"))
    constants = importers.read_tflite(tmp_path / "net.tflite")
    (name,) = (name for name, values in constants.items() if values.shape == (4, 3, 3, 3))
    rows = [{"edgekit": "weight", "rule": "tflite_conv", "source": name}]
    monkeypatch.setattr(importers, "read_key_map", lambda package, name: rows)
    importers.convert(tmp_path / "net.tflite", "any", tmp_path / "net.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "net.safetensors")["weight"], convolution.weight.detach())
