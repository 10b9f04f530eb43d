"""Protocols of edgekit and of the user, and that two of one name are never mixed."""

import pytest

from edgekit.devices.profile import stored_profile
from edgekit.errors import UsageError
from edgekit.protocol import PROTOCOLS, Protocol, protocol_named

OWN = """\
name: long
description: for our lab
sessions: 12
iterations: 100
min_seconds: 2.5
warmup_seconds: 1
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write the user's protocol `long`."""

    def write(text=OWN, name="long"):
        monkeypatch.setenv("EDGEKIT_PROTOCOLS", str(tmp_path))
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        return file

    return write


def test_a_users_protocol_is_found_by_name_and_by_file(own):
    file = own()
    found = protocol_named("long")
    assert (found.sessions, found.iterations, found.min_seconds, found.threads) == (12, 100, 2.5, 1)
    assert protocol_named(str(file)) == found
    assert Protocol.model_validate(found.model_dump()) == found  # as a ledger stores it
    profile = stored_profile({"name": "x", "kind": "host", "runs": (), "protocol": "long"})
    assert profile.protocol == "long"


def test_a_changed_protocol_has_another_name_and_a_changed_description_has_not(own):
    own()
    first = protocol_named("long").name
    own(OWN.replace("for our lab", "for the lab"))
    assert protocol_named("long").name == first
    own(f"{OWN}threads: 1\ncores: big\nscope: inference\n")  # the defaults
    assert protocol_named("long").name == first
    own(OWN.replace("sessions: 12", "sessions: 13"))
    assert protocol_named("long").name != first
    assert first.startswith("long@")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OWN.replace("sessions: 12", "sessions: 0"), "line 3, key sessions"),
        (OWN.replace("sessions: 12", "session: 12"), "key session"),
        (f"{OWN}cores: large\n", "cores"),
        (OWN.replace("name: long", "name: other"), "cannot be called other there"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(own, text, said):
    own(text)
    with pytest.raises(UsageError, match=said):
        protocol_named("long")


def test_a_user_cannot_redefine_a_protocol_of_edgekit(own):
    file = own(OWN.replace("name: long", "name: quick"), "quick")
    assert protocol_named("quick") == PROTOCOLS["quick"]
    with pytest.raises(UsageError, match="cannot be called quick"):
        protocol_named(str(file))


def test_an_unknown_name_is_refused_with_the_nearest(own):
    own()
    with pytest.raises(UsageError, match="no protocol named lon") as raised:
        protocol_named("lon")
    assert "long" in raised.value.failure.hint


def test_publication_takes_what_mlperf_mobile_takes():
    found = PROTOCOLS["publication"]
    assert found.sessions * found.iterations >= 1024
    assert found.sessions * found.min_seconds >= 60
    assert found.p90_rule == "early-stopping"
