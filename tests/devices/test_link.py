"""What docs say of every link, for those that lead to this computer: edgekit's own, and the one of docs/adding-a-device.md."""

import pytest
from pages import Page

from edgekit.devices.local import LocalLink
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture(params=["edgekit's", "the page's"])
def link(request):
    page = {}
    exec(Page("adding-a-device.md").files["box.py"], page)
    link = LocalLink() if request.param == "edgekit's" else page["BoxLink"]()
    link.connect()
    return link


def test_it_runs_and_copies(link, tmp_path):
    done = link.shell("echo out; echo err >&2; exit 3", 5)
    assert (done.exit_status, done.stdout, done.stderr) == (3, "out\n", "err\n")
    (tmp_path / "here").write_text("x")
    link.send(tmp_path / "here", str(tmp_path / "there"), 5)
    link.fetch(str(tmp_path / "there"), tmp_path / "back", 5)
    assert (tmp_path / "back").read_text() == "x"


@pytest.mark.parametrize(
    "do",
    [
        lambda link, folder: link.shell("sleep 20", 1),
        lambda link, folder: link.send(folder / "nothing", str(folder / "there"), 5),
        lambda link, folder: link.fetch(str(folder / "nothing"), folder / "back", 5),
    ],
)
def test_what_goes_wrong_is_a_lost_link(link, tmp_path, do):
    with pytest.raises(EdgekitError) as raised:
        do(link, tmp_path)
    assert raised.value.failure.kind == FailureKind.link_lost
