import hashlib
import os
import pty
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekit.architectures.registry import build
from edgekit.build.compile import build_target
from edgekit.build.prepare import Prepared, build_model
from edgekit.cache.store import clean, unfinished
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.loading import load_recipe
from edgekit.recipe.weights import Weights
from edgekit.target import Target
from edgekit.weights.checkpoints import (
    Checkpoint,
    Resolved,
    cached_checkpoints,
    import_checkpoint,
    load_checkpoint,
    resolve,
    weights_folder,
)

CONTENT = b"PK\x05\x06" + bytes(18)  # a ZIP file of nothing
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
    from edgekit.architectures.key_maps import read_key_map

    torch.manual_seed(1)
    ours = build("mobilenet_v3_small")
    names = {
        row["edgekit"]: row["torchvision"]
        for row in read_key_map("edgekit.architectures", "torchvision_mobilenet_v3_small")
    }
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


LARGE = bytes(range(256)) * 1000
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
DATES = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
NOWHERE = "http://127.0.0.1:9/net.pth"  # nobody listens on the discard port


class FileServer(ThreadingHTTPServer):
    """Serves one file under every path but /none, by range unless `ranges` is off, and cuts after `cut` bytes of an answer."""

    content, ranges, cut = LARGE, True, None
    versions = {"ETag": '"one"'}  # noqa: RUF012  (a test gives its server others)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked = []  # (path, Range, If-Range)
        self.url = f"http://127.0.0.1:{self.server_port}/net.pth"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        begin, condition = self.headers.get("Range"), self.headers.get("If-Range")
        server.asked.append((self.path, begin, condition))
        if self.path == "/none":
            self.send_error(404)
            return
        ranged = server.ranges and begin and condition in server.versions.values()
        start = int(begin.removeprefix("bytes=").removesuffix("-")) if ranged else 0
        if ranged and start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if ranged else 200)
        for name, value in server.versions.items():
            self.send_header(name, value)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(
            body[: server.cut]
        )  # a shorter body than was announced: the connection is closed in the middle

    def log_message(self, *arguments):
        pass


@pytest.fixture
def files():
    with FileServer() as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def cut_off(files, weights, after=100_000):
    """Download `after` bytes of the file and no more."""
    files.cut = after
    with pytest.raises(EdgekitError, match="could not be downloaded") as raised:
        resolve(weights)
    assert raised.value.failure.retriable
    files.cut = None
    assert [path.stat().st_size for path in unfinished("weights") if path.suffix == ".part"] == [after]


@pytest.mark.parametrize(
    ("versions", "condition"),
    [
        ({"ETag": '"one"'}, '"one"'),
        (DATES, DATES["Last-Modified"]),
        ({"ETag": 'W/"one"', **DATES}, DATES["Last-Modified"]),
    ],
)
def test_a_download_that_was_cut_off_goes_on_where_it_ended(files, versions, condition):
    files.versions = versions
    weights = Weights(url=files.url, sha256=LARGE_SHA256)
    cut_off(files, weights)
    told = []
    resolved = resolve(weights, lambda done, total: told.append((done, total)))
    assert files.asked == [("/net.pth", None, None), ("/net.pth", "bytes=100000-", condition)]
    assert resolved.checkpoint.path.read_bytes() == LARGE
    assert unfinished("weights") == []
    assert told[-1] == (len(LARGE), len(LARGE))
    assert min(told)[0] > 100_000


@pytest.mark.parametrize("change", ["no ranges", "another file", "no version"])
def test_a_download_begins_anew_where_it_cannot_go_on(files, change):
    content = LARGE[::-1] if change == "another file" else LARGE
    weights = Weights(url=files.url, sha256=hashlib.sha256(content).hexdigest())
    if change == "no version":
        files.versions = {}
    cut_off(files, weights)
    if change == "no ranges":
        files.ranges = False
    if change == "another file":
        files.content, files.versions = content, {"ETag": '"two"'}
    assert resolve(weights).checkpoint.path.read_bytes() == content
    assert files.asked[1][1] == (None if change == "no version" else "bytes=100000-")
    assert unfinished("weights") == []


def test_a_download_that_was_killed_when_it_was_whole_is_taken(files):
    weights = Weights(url=files.url, sha256=LARGE_SHA256)
    cut_off(files, weights)
    (part,) = (path for path in unfinished("weights") if path.suffix == ".part")
    part.write_bytes(LARGE)
    assert resolve(weights).identity == LARGE_SHA256
    assert files.asked[1][1] == f"bytes={len(LARGE)}-"


def test_a_part_that_went_bad_is_deleted_and_the_next_download_is_whole(files):
    weights = Weights(url=files.url, sha256=LARGE_SHA256)
    cut_off(files, weights)
    (part,) = (path for path in unfinished("weights") if path.suffix == ".part")
    part.write_bytes(bytes(100_000))
    with pytest.raises(EdgekitError) as raised:
        resolve(weights)
    assert raised.value.failure.kind == FailureKind.hash_mismatch
    assert unfinished("weights") == []
    assert resolve(weights).checkpoint.path.read_bytes() == LARGE


def test_cleaning_the_cache_removes_a_download_that_was_cut_off_but_none_under_way(files):
    cut_off(files, Weights(url=files.url, sha256=LARGE_SHA256))
    cleaned = []
    resolve(
        Weights(url=files.url, sha256=LARGE_SHA256), lambda done, total: cleaned.append(clean(["weights"]).size_bytes)
    )
    assert set(cleaned) == {0}
    cut_off(files, Weights(url=files.url, sha256="0" * 8), after=1000)
    assert clean(["weights"]).size_bytes == 1000 + len('"one"')
    assert [path.name for path in weights_folder().iterdir()] == [f"{LARGE_SHA256}-net.pth"]


def test_two_who_want_the_same_file_download_it_once(files):
    weights = Weights(url=files.url, sha256=LARGE_SHA256)
    with ThreadPoolExecutor(4) as pool:
        resolved = set(pool.map(lambda _: resolve(weights), range(4)))
    assert len(resolved) == len(files.asked) == 1


def test_mirrors_are_asked_in_order_until_one_has_the_file(files):
    mirrors = [files.url.replace("net.pth", "none"), files.url.replace("net.pth", "other-name"), files.url]
    resolved = resolve(Weights(url=NOWHERE, mirrors=mirrors, sha256=LARGE_SHA256))
    assert [path for path, _, _ in files.asked] == ["/none", "/other-name"]
    assert resolved.label == "net.pth"
    assert resolved.checkpoint.path.read_bytes() == LARGE


def test_where_no_mirror_has_the_file_all_reasons_are_told(files):
    with pytest.raises(EdgekitError, match=r"127.0.0.1:9: ConnectError.*; 127.0.0.1:\d+: the server answered 404"):
        resolve(Weights(url=NOWHERE, mirrors=[files.url.replace("net.pth", "none")], sha256=LARGE_SHA256))


def test_a_wrong_hash_is_told_after_the_mirrors_were_asked(files):
    with pytest.raises(EdgekitError, match=f"has SHA-256 {LARGE_SHA256}, not 0.*the server answered 404") as raised:
        resolve(Weights(url=files.url, mirrors=[files.url.replace("net.pth", "none")], sha256="0" * 8))
    assert raised.value.failure.kind == FailureKind.hash_mismatch
    assert [path for path, _, _ in files.asked] == ["/net.pth", "/none"]


def test_a_mirror_helps_where_the_first_address_has_another_file(server, files):
    resolved = resolve(Weights(url=f"{server[0]}/net.pth", mirrors=[files.url], sha256=LARGE_SHA256))
    assert resolved.checkpoint.path.read_bytes() == LARGE


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CERT_FILE", "/nonexistent"), ("ALL_PROXY", "ftp://x"), ("ALL_PROXY", "socks://127.0.0.1:1080/")],
)
def test_a_proxy_or_certificates_that_cannot_be_used_are_a_reason_and_the_fallback_is_taken(
    files, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    url = files.url.replace("127.0.0.1", "example.invalid")
    resolved = resolve(Weights(url=url, sha256=LARGE_SHA256, fallback={"random": 7}))
    assert resolved.label == "random(7)"
    assert "proxy or certificates (ALL_PROXY, SSL_CERT_FILE, ...) cannot be used" in resolved.warning


def test_a_password_in_an_address_is_not_told():
    url = NOWHERE.replace("//", "//me:secret@")
    with pytest.raises(EdgekitError, match=r"127.0.0.1:9: ConnectError") as raised:
        resolve(Weights(url=url, sha256=LARGE_SHA256))
    assert "secret" not in raised.value.failure.message
    with pytest.raises(ValueError, match="'ftp://host/x'; write the whole") as refused:
        Weights(url="ftp://me:secret@host/x", sha256=LARGE_SHA256)
    assert "'ftp://host/x'" in refused.value.errors()[0]["msg"]


def inverted(resolved):
    path = resolved.checkpoint.path
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


def test_a_damaged_checkpoint_is_downloaded_anew(files):
    weights = Weights(url=files.url, sha256=LARGE_SHA256)
    inverted(resolve(weights))
    assert resolve(weights).checkpoint.path.read_bytes() == LARGE
    assert len(files.asked) == 2


def test_a_damaged_checkpoint_that_has_no_address_is_told_and_an_import_brings_it_back(tmp_path):
    file = tmp_path / "net.pth"
    file.write_bytes(CONTENT)
    import_checkpoint(file)
    weights = Weights(file="net.pth", sha256=SHA256, fallback={"random": 7})
    inverted(resolve(weights))
    with pytest.raises(EdgekitError, match=r"net\.pth is damaged") as raised:
        resolve(weights)
    assert raised.value.failure.kind == FailureKind.hash_mismatch
    assert "make weights" in raised.value.failure.hint
    import_checkpoint(file)
    assert resolve(weights).identity == SHA256


def test_of_equal_checkpoints_the_one_with_the_recipes_name_is_taken(tmp_path):
    for name in ("download", "net.pth"):
        (tmp_path / name).write_bytes(CONTENT)
        import_checkpoint(tmp_path / name)
    assert resolve(Weights(file="net.pth", sha256=SHA256)).label == "net.pth"


@pytest.mark.parametrize("terminal", [True, False])
def test_fetch_shows_progress_on_a_terminal_only(files, tmp_path, terminal):
    recipe = tmp_path / "net.yaml"
    text = Path("recipes/v3_large_minimalistic.yaml").read_text()
    before, after = text.split("weights:")[0], text.split("preprocessing:")[1]
    weights = f"weights: {{url: {files.url!r}, sha256: {LARGE_SHA256}}}\n"
    recipe.write_text(f"{before}{weights}preprocessing:{after}")
    reader, writer = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "edgekit", "weights", "fetch", str(recipe)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, text=True, check=False, env=environment)
    os.write(writer, b"end")
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, f"{LARGE_SHA256}  net.pth\n")
    assert ("256.0/256.0 kB" in shown) == terminal
    assert terminal or shown == "end"


@pytest.fixture
def checkpoint(tmp_path):
    """Write a state as the cache keeps it: a file NAME in the format that its suffix says."""

    def write(state, name="net.pth"):
        path = tmp_path / ("0" * 64 + f"-{name}")
        (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
        return path

    return write


def small(**arguments):
    return build("mobilenet_v1", width=0.25, **arguments)


def test_safetensors_load_as_strictly_as_pth(checkpoint):
    torch.manual_seed(1)
    state, other = small().state_dict(), small()
    load_checkpoint(other, checkpoint(state, "net.safetensors"), None)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in state.items())
    del state["classifier.1.bias"]
    with pytest.raises(EdgekitError, match=r"missing classifier\.1\.bias"):
        load_checkpoint(other, checkpoint(state, "net.safetensors"), None)


def test_safetensors_are_told_by_what_they_hold_and_not_by_their_name(checkpoint):
    path = checkpoint(small().state_dict(), "net.safetensors")
    load_checkpoint(small(), path.rename(path.with_name("0" * 64 + "-download")), None)


@pytest.mark.parametrize(("name", "bytes_left"), [("net.safetensors", 100), ("net.safetensors", -1), ("net.pth", -999)])
def test_an_import_refuses_what_is_cut_off(checkpoint, name, bytes_left):
    file = checkpoint({"weight": torch.zeros(100)}, name)
    import_checkpoint(file)
    file.write_bytes(file.read_bytes()[:bytes_left])
    with pytest.raises(UsageError, match=r"is not a checkpoint: .* damaged or incomplete"):
        import_checkpoint(file)


def test_an_import_takes_what_torch_wrote_long_ago_and_no_single_byte(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    import_checkpoint(tmp_path / "net.pth")
    (tmp_path / "net.pth").write_bytes(b"\x80")
    with pytest.raises(UsageError, match=r"neither \.safetensors nor what torch.save writes"):
        import_checkpoint(tmp_path / "net.pth")


def test_damaged_safetensors_and_other_values_than_tensors_are_refused(checkpoint):
    damaged = checkpoint(small().state_dict(), "net.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    for path in (damaged, checkpoint({"epoch": 3}), checkpoint([torch.zeros(1)])):
        with pytest.raises(EdgekitError, match="cannot be read as a checkpoint of tensors") as raised:
            load_checkpoint(small(), path, None)
        assert raised.value.failure.kind == FailureKind.recipe


def recipe_with_head(seed):
    recipe = load_recipe("v1", ("model.width=0.25", "model.resolution=32", "model.classes=7"))
    return recipe.model_copy(update={"weights": Weights(url=NOWHERE, sha256=SHA256, new_head=seed)})


def test_a_new_head_is_drawn_from_its_seed_and_all_else_is_the_checkpoints(checkpoint):
    torch.manual_seed(1)
    state = small().state_dict()
    path = str(checkpoint(state))

    def with_head(seed):
        return build_model(recipe_with_head(seed), path, seed, np.zeros(0)).state_dict()

    first, again, other = with_head(0), with_head(0), with_head(5)
    head = {"classifier.1.weight", "classifier.1.bias"}
    assert first["classifier.1.weight"].shape == (7, 256)
    for key, value in state.items():
        assert torch.equal(first[key], again[key])
        assert torch.equal(first[key], other[key]) == (key not in head)
        assert key in head or torch.equal(first[key], value)


def test_with_a_new_head_the_rest_is_loaded_strictly(checkpoint):
    state = small().state_dict()
    del state["features.0.0.weight"]
    with pytest.raises(EdgekitError, match=r"fit the model: missing features\.0\.0\.weight\."):
        load_checkpoint(small(classes=7), checkpoint(state), None, new_head=True)


def test_another_class_count_without_a_new_head_lists_shapes_and_names_the_key(checkpoint):
    with pytest.raises(EdgekitError, match=r"classifier\.1\.weight is \(1000, 256\), not \(7, 256\)") as raised:
        load_checkpoint(small(classes=7), checkpoint(small().state_dict()), None)
    assert "weights.new_head: SEED" in raised.value.failure.hint


def test_a_new_head_shows_in_the_label_and_the_identity_and_is_not_trained(tmp_path):
    file = tmp_path / "net.pth"
    file.write_bytes(CONTENT)
    import_checkpoint(file)
    plain, new = (resolve(Weights(url=NOWHERE, sha256=SHA256, new_head=seed)) for seed in (None, 0))
    assert (plain.label, plain.identity, plain.trained) == ("net.pth", SHA256, True)
    assert (new.label, new.identity) == ("net.pth, new head (seed 0)", f"{SHA256}, new head (seed 0)")
    assert not new.trained
    assert not Resolved(None, 0).trained


@pytest.mark.parametrize("seed", [None, 0])
def test_parity_judges_top1_only_without_a_new_head(tmp_path, seed):
    class Asked:
        def call(self, job, log, modules):
            self.job = job
            raise EdgekitError(FailureKind.crashed, "compile", "enough")

    resolved = Resolved(Checkpoint(tmp_path / ("0" * 64 + "-net.pth"), "0" * 64), seed)
    prepared = Prepared(
        folder=tmp_path, key="k", parameters=1, multiply_adds=1, contract="met", photos_sha256="", calibration={}
    )
    asked = Asked()
    built = build_target(load_recipe("v1"), resolved, prepared, Target.parse("tflite/xnnpack/fp32"), tmp_path, asked)
    assert built.failure.message == "enough"
    assert asked.job.trained is (seed is None)
