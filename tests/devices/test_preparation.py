"""How a device is prepared and restored, over this computer's shell."""

from pathlib import Path

import pytest
from local_device import Box

from edgekit.devices.preparation import Step
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture
def box(tmp_path):
    """A box whose preparation writes the files ``one`` and ``two``; undoing removes them and writes a log."""
    box = Box(tmp_path)
    log = tmp_path / "log"
    box.steps = [
        Step(f"echo {name} > {tmp_path}/{name}", f"rm {tmp_path}/{name} && echo {name} >> {log}")
        for name in ("one", "two")
    ]
    return box


def undo_script(box):
    return Path(box.root, "restore.sh")


def test_what_was_changed_is_undone_in_reverse_order(box, tmp_path):
    box.prepare()
    assert (tmp_path / "one").exists()
    assert undo_script(box).read_text().splitlines() == [step.undo for step in reversed(box.steps)]
    assert box.restore()
    assert (tmp_path / "log").read_text() == "two\none\n"
    assert not undo_script(box).exists()
    assert not Path(box.root, "owner").exists()
    assert not box.restore()


def test_the_device_knows_how_to_undo_a_step_before_it_is_done(box, tmp_path):
    box.steps.insert(0, Step(f"cp {box.root}/restore.sh {tmp_path}/seen", "true"))
    box.prepare()
    assert (tmp_path / "seen").read_text().count("\n") == 2


def test_what_the_device_refuses_is_reported_and_not_undone(box, caplog):
    box.steps.insert(1, Step("echo 'SecurityException: no' >&2; exit 255", "false"))
    box.prepare()
    assert box.state()["not_prepared"] == ["`echo 'SecurityException: no' >&2; exit 255`: SecurityException: no"]
    assert "box is measured without a step that it refused" in caplog.text
    assert "false" not in undo_script(box).read_text()
    assert box.restore()


def test_a_device_that_refuses_all_has_nothing_to_undo(box):
    box.steps = [Step("false", "true")]
    box.prepare()
    assert not undo_script(box).exists()


def test_what_a_killed_edgekit_prepared_is_undone_before_the_next_preparation(box, tmp_path):
    box.prepare()
    another = Box(tmp_path)
    another.prepare()
    assert (tmp_path / "log").read_text() == "two\none\n"
    assert not undo_script(another).exists()


def test_what_cannot_be_undone_is_named_and_tried_again(box, tmp_path):
    box.prepare()
    (tmp_path / "two").unlink()
    with pytest.raises(
        EdgekitError, match=r"box is not as it was found: `rm .*two.*` failed: rm: cannot remove"
    ) as raised:
        box.restore()
    assert raised.value.failure.kind == FailureKind.crashed
    assert f"remove {box.root}/restore.sh there" in raised.value.failure.hint
    assert not (tmp_path / "one").exists()  # the others are undone
    with pytest.raises(EdgekitError, match="is not as it was found"):
        box.prepare()
    (tmp_path / "one").touch()
    (tmp_path / "two").touch()
    assert box.restore()


def test_a_release_that_fails_is_logged_and_hides_no_outcome(box, tmp_path, caplog):
    box.prepare()
    (tmp_path / "two").unlink()
    box.release()
    assert "box is left as it was prepared: box is not as it was found" in caplog.text
    assert "edgekit device restore box" in caplog.text


def test_a_release_restores_the_device_only_if_no_other_edgekit_has_prepared_it(box, tmp_path):
    box.prepare()
    another = Box(tmp_path)
    another.steps = box.steps
    another.prepare()
    box.release()
    assert undo_script(another).exists()
    another.release()
    assert not undo_script(another).exists()


def test_after_a_reboot_the_preparation_no_longer_holds(box):
    box.prepare()
    assert box.preparation.survived("first")
    assert not box.preparation.survived("second")
    box.restore()
    assert box.preparation.survived("second")
