import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from edgekit.errors import EdgekitError, FailureKind
from edgekit.models import build
from edgekit.models.weights import cached_checkpoints, import_checkpoint, load_checkpoint, resolve
from edgekit.recipe import Weights

CONTENT = b"a checkpoint"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    """A web server on this machine that has one file, and counts who asks for it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path == "/net.pth" else 404)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments):
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}", asked
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_a_download_is_verified_kept_and_not_repeated(server):
    url, asked = server
    weights = Weights(url=f"{url}/net.pth", sha256=SHA256[:8])
    resolved = resolve(weights)
    assert resolved.checkpoint.sha256 == resolved.identity == SHA256
    assert resolved.checkpoint.path.read_bytes() == CONTENT
    assert resolved.label == "net.pth"
    assert resolve(weights) == resolved
    assert asked == ["/net.pth"]


def test_a_wrong_hash_is_an_error_even_with_a_fallback_and_leaves_nothing(server):
    weights = Weights(url=f"{server[0]}/net.pth", sha256="0" * 8, fallback={"random": 0})
    with pytest.raises(EdgekitError, match=SHA256) as raised:
        resolve(weights)
    assert raised.value.failure.kind == FailureKind.hash_mismatch
    assert cached_checkpoints() == []


@pytest.mark.parametrize("missing", ["/other.pth", None])
def test_missing_weights_name_file_hash_and_folder(server, tmp_path, missing):
    url = server[0] + missing if missing else "http://127.0.0.1:9/other.pth"  # nobody listens on the discard port
    with pytest.raises(EdgekitError) as raised:
        resolve(Weights(url=url, sha256=SHA256))
    failure = raised.value.failure
    assert failure.kind == FailureKind.weights_missing
    assert failure.retriable
    for part in ("other.pth", SHA256, str(tmp_path / "cache" / "weights")):
        assert part in failure.message
    assert "edgekit weights import" in failure.hint


def test_a_fallback_is_visible():
    resolved = resolve(Weights(url="http://127.0.0.1:9/net.pth", sha256=SHA256, fallback={"random": 7}))
    assert resolved.label == resolved.identity == "random(7)"
    assert "seed 7" in resolved.warning


def test_an_import_is_found_by_the_prefix_of_its_hash(tmp_path):
    file = tmp_path / "with-dashes-net.pth"
    file.write_bytes(CONTENT)
    import_checkpoint(file, SHA256[:8])
    resolved = resolve(Weights(url="http://127.0.0.1:9/elsewhere.pth", sha256=SHA256[:10]))
    assert resolved.identity == SHA256
    assert resolved.label == "with-dashes-net.pth"
    with pytest.raises(EdgekitError, match="not 00000000"):
        import_checkpoint(file, "00000000")


def test_a_checkpoint_that_does_not_fit_lists_its_keys(tmp_path):
    model = build("mobilenet_v1", width=0.25)
    state = model.state_dict()
    state["extra.weight"] = torch.zeros(1)
    state["classifier.1.bias"] = torch.zeros(7)
    del state["features.0.0.weight"]
    torch.save(state, tmp_path / ("0" * 64 + "-net.pth"))
    with pytest.raises(EdgekitError) as raised:
        load_checkpoint(model, tmp_path / ("0" * 64 + "-net.pth"), None)
    for part in (
        "net.pth",
        "missing features.0.0.weight",
        "extra extra.weight",
        "classifier.1.bias is (7,), not (1000,)",
    ):
        assert part in raised.value.failure.message


def test_torchvisions_v3_checkpoints_load_through_the_key_map(tmp_path):
    """No V3 file is to be had offline; one with torchvision's names and shapes stands in for it."""
    from edgekit.models.weights import read_key_map

    torch.manual_seed(1)
    ours = build("mobilenet_v3_small")
    names = {row["edgekit"]: row["torchvision"] for row in read_key_map("torchvision_mobilenet_v3_small")}
    path = tmp_path / ("0" * 64 + "-v3.pth")
    torch.save({names[key]: value for key, value in ours.state_dict().items()}, path)
    other = build("mobilenet_v3_small")
    load_checkpoint(other, path, "torchvision_mobilenet_v3_small")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("content", ["code", "truncated"])
def test_a_checkpoint_that_is_damaged_or_runs_code_is_refused(tmp_path, content):
    path = tmp_path / ("0" * 64 + "-evil.pth")
    torch.save(
        {"model": threading.Thread} if content == "code" else build("mobilenet_v1", width=0.25).state_dict(), path
    )
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EdgekitError, match=r"evil\.pth cannot be read") as raised:
        load_checkpoint(build("mobilenet_v1", width=0.25), path, None)
    assert raised.value.failure.kind == FailureKind.recipe
