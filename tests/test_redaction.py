"""No password or token is printed, logged or kept."""

import json

import pytest

from edgekit.errors import EdgekitError, FailureKind
from edgekit.ledger.database import place
from edgekit.recipe.loading import load_recipe
from edgekit.recipe.weights import Weights
from edgekit.redaction import redacted
from edgekit.weights.checkpoints import resolve

SHA256 = "0" * 64
SECRETS = ("hunter2", "t0ps3cret")
URL = "http://me:hunter2@127.0.0.1:9/net.pth?dl=1&token=t0ps3cret"
MIRROR = "http://me:hunter2@127.0.0.1:9/mirror/net.pth"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("get https://me:a@b@host:80/x now", "get https://host:80/x now"),
        ("postgresql+psycopg://me:pass@host/db?password=p", "postgresql+psycopg://host/db?password=***"),
        ("https://host/x?X-Amz-Signature=abc&X-Amz-Date=1", "https://host/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://host/x?author=a&monkey=b", "https://host/x?author=a&monkey=b"),
        ("https://host/path@v1/x.pth", "https://host/path@v1/x.pth"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_addresses_are_shown_without_their_secrets(text, shown):
    assert redacted(text) == shown
    assert str(EdgekitError(FailureKind.usage, "usage", text, text)) == shown
    assert EdgekitError(FailureKind.usage, "usage", text, text).failure.hint == shown


def test_a_recipe_keeps_its_password_and_its_json_and_hashes_do_not():
    recipe = load_recipe("v2").model_copy(update={"sweep": None})
    secret, other = (
        recipe.model_copy(
            update={"weights": Weights(url=URL.replace("hunter2", one), sha256=SHA256, mirrors=(MIRROR,))}
        )
        for one in ("hunter2", "hunter3")
    )
    assert secret.weights.url == URL
    assert secret.changed({"resolution": 192}).weights.urls == (URL, MIRROR)
    assert not any(one in secret.model_dump_json() for one in SECRETS)
    assert (secret.hash, secret.build_hash) == (other.hash, other.build_hash)


def test_a_password_that_is_no_valid_part_of_an_address_is_not_shown():
    with pytest.raises(ValueError, match="no valid host and port") as raised:
        Weights(url="https://me:hun/ter2@host/x", sha256=SHA256)
    assert "ter2" not in raised.value.errors()[0]["msg"]


def test_the_ledgers_address_is_shown_without_its_password():
    from sqlalchemy import make_url

    shown = place(make_url("postgresql://me:hunter2@host/db?password=t0ps3cret"))
    assert not any(one in shown for one in SECRETS)


def test_a_proxys_password_is_not_shown(monkeypatch):
    for proxy in ("http://me:hunter2@127.0.0.1:9", "socks9://me:hunter2@127.0.0.1:9"):
        monkeypatch.setenv("ALL_PROXY", proxy)
        with pytest.raises(EdgekitError) as raised:
            resolve(Weights(url="http://example.invalid/net.pth", sha256=SHA256))
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("given", ["file", "--set"])
def test_a_whole_run_leaves_no_password_anywhere(edgekit, tmp_path, given):
    content = load_recipe("v2").model_dump(mode="json", exclude_none=True, exclude={"sweep"})
    content["weights"] = {"url": URL, "sha256": SHA256, "mirrors": [MIRROR]}
    options = ("--set", f"weights.url={URL}") if given == "--set" else ()
    if given == "--set":
        content["weights"]["url"] = "https://example.invalid/net.pth"
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "net.yaml").write_text(json.dumps(content))
    own = {"EDGEKIT_CACHE": str(tmp_path / "kept/cache"), "EDGEKIT_LEDGER": f"sqlite:///{tmp_path}/kept/ledger.db"}
    command = ("compile", recipes / "net.yaml", *options)
    outputs = [
        edgekit("--debug", *command, *more, env=own) for more in ((), ("--json",), ("--set", "weights.sha256=1"))
    ]
    outputs.append(edgekit("compile", "--resume", env=own))
    outputs += [
        edgekit("report", "--format", form, env=own) for form in ("terminal", "markdown", "csv", "latex", "json")
    ]
    outputs.append(edgekit("support", env=own))
    assert [done.returncode for done in outputs] == [1, 1, 2, 1, *[0] * 6]
    kept = [file for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert any(file.name == "ledger.db" for file in kept)
    for secret in SECRETS:
        assert not any(secret in done.stdout + done.stderr for done in outputs)
        assert [file for file in kept if secret.encode() in file.read_bytes()] == []
    assert "127.0.0.1:9" in outputs[0].stderr
