"""Boards as their owners reach them: ``~/.ssh/config``, agents, certificates and jump hosts, over real servers and agents."""

import os
import subprocess
import time

import pytest
from lab.board import INNER_PORT, SSHD

from edgekit.devices.base import opened
from edgekit.devices.profile import stored_profile
from edgekit.devices.ssh_config import UnresolvableError, jump, resolve
from edgekit.errors import EdgekitError, FailureKind

KEYGEN = ("ssh-keygen", "-q", "-t", "ed25519")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without keys, known hosts or an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def config(home):
    """Write ``~/.ssh/config``."""

    def write(text):
        (home / ".ssh/config").write_text(text)

    return write


@pytest.fixture
def agent(home, monkeypatch):
    """A real agent, its socket, and a function that adds a key to it."""
    path = home / "agent.sock"
    process = subprocess.Popen(("ssh-agent", "-D", "-a", path), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    def add(key):
        os.chmod(key, 0o600)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(("ssh-add", "-q", key), check=True, env=environment, stdin=subprocess.DEVNULL)

    add.path = path
    yield add
    process.terminate()
    process.wait()


def alias(name="orin", **more):
    """A profile that says nothing but an alias."""
    return stored_profile({"name": "lab", "kind": "linux", "runs": ("tflite",), "host": name, **more})


def entry(board, *lines, name="orin", identity=True):
    """What a person would write for a board of the lab."""
    own = [
        f"HostName {board.host}",
        f"Port {board.port}",
        f"User {board.user}",
        f"UserKnownHostsFile {board.known_hosts}",
    ]
    named = [f"IdentityFile {board.key}"] if identity else []
    return "\n  ".join([f"Host {name}", *own, *named, *lines]) + "\n"


def answer(profile):
    with opened(profile) as device:
        return device.run(("id", "-un"), 20).stdout.strip()


def failure_of(profile):
    with pytest.raises(EdgekitError) as raised:
        answer(profile)
    return raised.value.failure


def test_an_alias_is_reached_as_ssh_reaches_it(board, config):
    config(entry(board))
    assert answer(alias()) == board.user


def test_includes_and_matches_count(board, config, home):
    (home / "included").write_text(entry(board, identity=False))
    config(f'Include {home}/included\nMatch originalhost orin exec "test -d {home}"\n  IdentityFile {board.key}\n')
    assert answer(alias()) == board.user


def test_what_the_profile_says_wins(board, config, home):
    wrong = f"Port 1\n  User nobody\n  IdentityFile {home}/gone\n"
    config(f"Host orin\n  HostName {board.host}\n  UserKnownHostsFile {board.known_hosts}\n  {wrong}")
    assert answer(alias(port=board.port, user=board.user, key=str(board.key))) == board.user
    assert "Connection refused" in failure_of(alias(user=board.user, key=str(board.key))).message


def test_a_key_of_the_configuration_that_is_gone_is_named(board, config, home):
    config(entry(board, f"IdentityFile {home}/gone", identity=False))
    failure = failure_of(alias())
    assert failure.kind == FailureKind.unauthorized
    assert f"{home}/gone is missing" in failure.message
    assert "IdentityFile" in failure.hint


def test_a_host_key_is_looked_up_under_its_alias(board, config):
    known = board.known_hosts.read_text().split(maxsplit=1)[1]
    board.known_hosts.write_text(f"my-orin {known}")
    config(entry(board))
    assert failure_of(alias()).kind == FailureKind.untrusted_host
    config(entry(board, "HostKeyAlias my-orin"))
    assert answer(alias()) == board.user


def test_a_host_key_that_is_not_known_names_the_command_to_compare_it_with(board, config):
    config(entry(board))
    board.known_hosts.write_text("")
    assert failure_of(alias()).hint.endswith("compare the fingerprint: ssh orin")


def test_a_revoked_host_key_is_refused_and_host_certificates_are_named(board, config):
    config(entry(board))
    known = board.known_hosts.read_text()
    board.known_hosts.write_text(f"{known}@revoked * {known.split(maxsplit=1)[1]}")
    failure = failure_of(alias())
    assert failure.kind == FailureKind.untrusted_host
    assert "its host key is revoked" in failure.message
    board.known_hosts.write_text(f"@cert-authority * {known.split(maxsplit=1)[1]}")
    assert "does not read certificates of hosts" in failure_of(alias()).message


def test_settings_that_are_not_followed_are_named(board, config, caplog):
    config(entry(board, "RemoteCommand tmux", "Ciphers aes256-ctr", "ForwardX11 yes", "ServerAliveInterval 30"))
    assert answer(alias()) == board.user
    (said,) = [record.getMessage() for record in caplog.records if "does not follow" in record.getMessage()]
    assert said == "lab: edgekit does not follow these settings of SSH for orin: ciphers aes256-ctr, remotecommand tmux"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RevokedHostKeys /etc/ssh/revoked", "sets revokedhostkeys"),
        ("Prot 3", "Bad configuration option: prot"),
        ("IdentityFile ~/.ssh/%C", "edgekit does not know %C in its identityfile"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_an_error(board, config, line, said):
    config(entry(board, line))
    failure = failure_of(alias())
    assert failure.kind == FailureKind.usage
    assert said in failure.message


def test_without_ssh_a_configuration_is_an_error_and_none_is_not_needed(board, config, profile_of, monkeypatch, home):
    monkeypatch.setenv("PATH", str(home))
    assert answer(profile_of(board)) == board.user
    config(entry(board))
    failure = failure_of(alias())
    assert (failure.kind, failure.hint) == (FailureKind.usage, "apt install openssh-client")


# An agent


def locked(board, home):
    """The board's key with a passphrase that no one types, and the same key without one."""
    key = home / "id_lab"
    key.write_bytes(board.key.read_bytes())
    key.chmod(0o600)
    subprocess.run(("ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key), check=True)
    return key


def test_a_key_that_only_the_agent_has_is_used(board, config, agent, monkeypatch):
    config(entry(board, identity=False))
    assert failure_of(alias()).kind == FailureKind.unauthorized
    agent(board.key)
    assert failure_of(alias()).kind == FailureKind.unauthorized
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.path))
    assert answer(alias()) == board.user


def test_the_agent_of_the_configuration_is_asked(board, config, agent):
    agent(board.key)
    config(entry(board, f"IdentityAgent {agent.path}", identity=False))
    assert answer(alias()) == board.user


def test_a_key_with_a_passphrase_is_used_through_the_agent(board, config, agent, home):
    key = locked(board, home)
    config(entry(board, f"IdentityFile {key}", f"IdentityAgent {agent.path}", identity=False))
    assert "has a passphrase" in failure_of(alias()).message
    agent(board.key)
    assert answer(alias()) == board.user


def test_of_many_keys_in_the_agent_the_named_one_is_shown_first(board, config, agent, home):
    for name in "abcd":
        subprocess.run((*KEYGEN, "-N", "", "-f", home / name), check=True)
        agent(home / name)
    agent(board.key)
    board.configure(f"{SSHD}MaxAuthTries 2\n")
    config(entry(board, f"IdentityAgent {agent.path}", identity=False))
    assert "too many" in failure_of(alias()).message
    config(
        entry(
            board, f"IdentityAgent {agent.path}", f"IdentityFile {board.key}.pub", "IdentitiesOnly yes", identity=False
        )
    )
    assert answer(alias()) == board.user


def test_other_keys_of_the_agent_stay_there_with_identities_only(board, config, agent, home):
    subprocess.run((*KEYGEN, "-N", "", "-f", home / "other"), check=True)
    agent(board.key)
    lines = (f"IdentityAgent {agent.path}", f"IdentityFile {home}/other")
    config(entry(board, *lines, identity=False))
    assert answer(alias()) == board.user
    config(entry(board, *lines, "IdentitiesOnly yes", identity=False))
    assert failure_of(alias()).kind == FailureKind.unauthorized


def test_an_agent_that_is_gone_is_named(board, config, home):
    config(entry(board, f"IdentityAgent {home}/nowhere.sock", identity=False))
    assert f"{home}/nowhere.sock is not an agent that answers" in failure_of(alias()).message


def test_a_host_that_asks_for_more_than_a_key_is_named(board, config):
    config(entry(board))
    board.configure(f"{SSHD}AuthenticationMethods publickey,publickey\n")
    failure = failure_of(alias())
    assert failure.kind == FailureKind.unauthorized
    assert "it accepted a key, and also asks for publickey" in failure.message


# Certificates


@pytest.fixture
def certified(board, home):
    """A board that trusts an authority and no key; and a key that the authority certified, in a file of its own."""
    subprocess.run((*KEYGEN, "-N", "", "-f", home / "authority"), check=True)
    subprocess.run((*KEYGEN, "-N", "", "-f", home / "person"), check=True)
    sign = ("ssh-keygen", "-q", "-s", home / "authority", "-I", "person", "-n", board.user, home / "person.pub")
    subprocess.run(sign, check=True)
    board.write("/etc/ssh/authority.pub", (home / "authority.pub").read_text())
    board.configure(f"{SSHD}TrustedUserCAKeys /etc/ssh/authority.pub\n")
    board.revoke()
    return home / "person"


def test_a_certificate_beside_its_key_lets_in(board, config, certified):
    config(entry(board, f"IdentityFile {certified}", identity=False))
    assert answer(alias()) == board.user
    os.rename(f"{certified}-cert.pub", f"{certified}.cert")
    assert failure_of(alias()).kind == FailureKind.unauthorized
    config(entry(board, f"IdentityFile {certified}", f"CertificateFile {certified}.cert", identity=False))
    assert answer(alias()) == board.user
    assert answer(alias(key=str(certified))) == board.user


def test_an_agents_certificate_and_a_certificate_of_an_agents_key_let_in(board, config, certified, agent):
    agent(certified)  # with the certificate beside it
    config(entry(board, f"IdentityAgent {agent.path}", identity=False))
    assert answer(alias()) == board.user
    subprocess.run(("ssh-add", "-q", "-D"), check=True, env={**os.environ, "SSH_AUTH_SOCK": str(agent.path)})
    os.rename(f"{certified}-cert.pub", f"{certified}.cert")
    agent(certified)
    assert failure_of(alias()).kind == FailureKind.unauthorized
    config(entry(board, f"IdentityAgent {agent.path}", f"CertificateFile {certified}.cert", identity=False))
    assert answer(alias()) == board.user


def test_a_certificate_that_is_gone_is_named(board, config, certified, home):
    os.remove(f"{certified}-cert.pub")
    config(entry(board, f"IdentityFile {certified}", f"CertificateFile {home}/lost-cert.pub", identity=False))
    assert f"{home}/lost-cert.pub is missing" in failure_of(alias()).message


# Jump hosts and proxies


@pytest.fixture
def behind(board, config):
    """A board that is reached only from another one, which is `gate`; and a function that writes the configuration."""
    port = board.start_inner()

    def write(*, gate=(), port=port):
        inner = entry(board, "ProxyJump gate").replace(f"Port {board.port}", f"Port {port}")
        config(entry(board, *gate, name="gate") + inner)

    write()
    return write


def test_a_board_behind_a_jump_host_is_reached_and_only_through_it(behind, board):
    assert "Connection refused" in failure_of(alias(board.host, port=INNER_PORT)).message
    assert answer(alias()) == board.user


def test_files_go_through_a_jump_host(behind, tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4000)
    with opened(alias()) as device:
        device.pull(device.push(tmp_path / "file"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_the_jump_host_may_have_one_of_its_own_and_a_circle_is_an_error(behind, board, config):
    assert answer(alias()) == board.user
    chain = entry(board, "ProxyJump first", name="gate").replace(f"Port {board.port}", f"Port {INNER_PORT}")
    config(
        entry(board, name="first") + chain + entry(board, "ProxyJump gate").replace(f"Port {board.port}", "Port 2222")
    )
    known = board.known_hosts.read_text().split()
    with board.known_hosts.open("a") as more:
        more.write(f"[127.0.0.1]:2222 {known[1]} {known[2]}\n")
    assert answer(alias()) == board.user
    behind(gate=("ProxyJump orin",))
    failure = failure_of(alias())
    assert failure.kind == FailureKind.usage
    assert "it is a circle" in failure.hint


def test_every_host_on_the_way_is_checked(behind, board):
    lines = board.known_hosts.read_text().splitlines()
    board.known_hosts.write_text(lines[1])  # the board's, and not the jump host's
    failure = failure_of(alias())
    assert failure.kind == FailureKind.untrusted_host
    assert (
        f"its jump host {board.user}@{board.host}:{board.port}, gate in ~/.ssh/config: its host key" in failure.message
    )
    board.known_hosts.write_text(lines[0])
    failure = failure_of(alias())
    assert failure.kind == FailureKind.untrusted_host
    assert "jump host" not in failure.message


def test_a_jump_host_that_forwards_nothing_or_reaches_nothing_is_named(behind, board):
    behind(port=9)
    failure = failure_of(alias())
    assert failure.kind == FailureKind.offline
    assert "its jump host does not connect to it: Connect failed" in failure.message
    board.configure(f"{SSHD}AllowTcpForwarding no\n")
    failure = failure_of(alias())
    assert "its jump host does not connect to it: Administratively prohibited" in failure.message
    assert "AllowTcpForwarding" in failure.hint


def test_a_proxy_command_leads_to_the_board_and_its_errors_are_told(behind, board, config, home):
    inner = entry(board, f"ProxyCommand ssh -F {home}/.ssh/config -W %h:%p gate 2> /dev/null").replace(
        str(board.port), "2300"
    )
    config(entry(board, name="gate") + inner)
    assert answer(alias()) == board.user
    config(entry(board, "ProxyCommand sh -c 'echo no way to %h >&2; exit 3'"))
    start = time.monotonic()
    failure = failure_of(alias())
    assert time.monotonic() - start < 4
    assert failure.kind == FailureKind.offline
    assert f"its ProxyCommand printed: no way to {board.host}" in failure.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gate", ("gate", None, None)),
        ("me@gate:22", ("gate", "me", 22)),
        ("ssh://me@gate:22/", ("gate", "me", 22)),
        ("me@[fe80::1]:22", ("fe80::1", "me", 22)),
    ],
)
def test_jump_hosts_are_read(text, expected):
    assert jump(text) == expected


def test_a_jump_host_that_is_none_is_named():
    with pytest.raises(UnresolvableError, match="is not a host"):
        jump("me@")


def test_tokens_variables_and_lists_are_replaced(home, config, monkeypatch):
    monkeypatch.setenv("KEYS", "/keys")
    config(
        "Host orin\n HostName %h.lan\n User nv\n Port 2200\n IdentityFile ${KEYS}/%n_%h_%p_%r%%\n IdentityAgent none\n"
        " UserKnownHostsFile ~/.ssh/a /b\n ProxyCommand nc %h %p\n ConnectTimeout 7\n Compression yes\n AddressFamily inet6\n"
    )
    hop = resolve("orin")
    assert hop.address == "nv@orin.lan:2200, orin in ~/.ssh/config"
    assert [str(key) for key in hop.keys] == ["/keys/orin_orin.lan_2200_nv%"]
    assert hop.known_hosts[1:2] == (home.__class__("/b"),)
    assert (hop.agent, hop.proxy_command, hop.connect_seconds) == (None, "nc orin.lan 2200", 7)
    assert (hop.compression, hop.family.name) == (True, "AF_INET6")
