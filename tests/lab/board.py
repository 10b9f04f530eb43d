"""A Linux board: OpenSSH's sshd in namespaces of its own, with a user, keys and a home that go when it stops.

    with BoardLab() as board:
        client = paramiko.SSHClient()
        client.load_host_keys(board.known_hosts)
        client.connect(board.host, board.port, username=board.user, key_filename=str(board.key))

The native board is this machine's own root under a layer in memory: what a test installs or breaks there is gone after. Its
`python3` is the one that runs the tests, with their packages. `BoardLab(arm64=True)` is a bare Debian of its own, by qemu.
"""

from __future__ import annotations

import subprocess
import sys as python
from pathlib import Path

from . import roots
from .machine import MEGABYTE, Machine
from .scenario import Cluster

USER, USER_ID = "board", 1500
INNER_PORT = 2300
CONFIG = "/etc/ssh/lab_sshd_config"
HOST_KEY = "/etc/ssh/lab_host_key"
SSHD = f"""Port {Machine.daemon_port}
ListenAddress 127.0.0.1
HostKey {HOST_KEY}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin no
AuthorizedKeysFile .ssh/authorized_keys
Subsystem sftp internal-sftp
PidFile none
"""
CLOCK = """#!/bin/sh
# The device's date: this machine's, as far off as the test set it.
read offset 2>/dev/null </lab/clock || exec /usr/bin/date "$@"
exec /usr/bin/date -d "@$(($(/usr/bin/date +%s) + offset))" "$@"
"""


class BoardLab(Machine):
    """A board that lets in the one key of `key`, and whose own key is in `known_hosts`."""

    # Its main process and those of its connections.
    daemon = r"(^|/)sshd(-session|-auth)?\b"
    disk = f"/home/{USER}"
    user = USER

    def __init__(
        self,
        *,
        arm64: bool = False,
        cpus: tuple[Cluster, ...] = (),
        celsius: float = 41.5,
        model: str = "Lab Board",
        disk_bytes: int = 256 * MEGABYTE,
        sys: dict[str, str] | None = None,
    ) -> None:
        """`sys` are files below /sys/bus and /sys/class: path from /sys -> content. Other files there are hidden then."""
        lower = roots.root("board-arm64") if arm64 else Path("/")
        super().__init__(lower, cpus=cpus, arm64=arm64, disk_bytes=disk_bytes)
        self.celsius = celsius
        self.model = model
        self.sys = sys or {}

    @property
    def key(self) -> Path:
        """The private key that the board lets in."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The file that names the board's own key."""
        return self.folder / "known_hosts"

    def revoke(self) -> None:
        """Forget the key that was let in."""
        self.path(f"{self.disk}/.ssh/authorized_keys").write_text("")
        self.link.drop()

    def change_host_key(self) -> None:
        """Become another machine at the same address; `known_hosts` keeps the old key."""
        _make_key(self.folder / "other_host_key")
        self._give_host_key(self.folder / "other_host_key")
        self.link.drop()
        self.restart()

    def configure(self, config: str) -> None:
        """Start the daemon anew with another configuration than `SSHD`."""
        self.write(CONFIG, config)
        self.link.drop()
        self.restart()

    def start_inner(self) -> int:
        """Start a second daemon, of another host key, at a port that only this board itself reaches; return the port.

        A client must log in to the board first, and go on from there. `known_hosts` names the second key as well.
        """
        key, config = self.folder / "inner_host_key", "/etc/ssh/inner_sshd_config"
        _make_key(key)
        self.write("/etc/ssh/inner_host_key", key.read_text(), mode=0o600)
        inner = SSHD.replace(f"Port {self.daemon_port}", f"Port {INNER_PORT}").replace(
            HOST_KEY, "/etc/ssh/inner_host_key"
        )
        self.write(config, inner)
        self.run(f"/usr/sbin/sshd -f {config}")
        kind, blob = Path(f"{key}.pub").read_text().split()[:2]
        with self.known_hosts.open("a") as known:
            known.write(f"[127.0.0.1]:{INNER_PORT} {kind} {blob}\n")
        return INNER_PORT

    def heat(self, celsius: float) -> None:
        """Bring the board's processor to a temperature."""
        self.celsius = celsius
        (self.folder / "thermal/thermal_zone0/temp").write_text(f"{round(celsius * 1000)}\n")

    # How it comes up

    def _binds(self) -> list[list[str]]:
        zone = self.folder / "thermal/thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "type").write_text("cpu-thermal\n")
        self.heat(self.celsius)
        # What a Raspberry Pi or a Jetson says of itself, with a zero byte at the end there too.
        tree = self.folder / "firmware/devicetree/base"
        tree.mkdir(parents=True)
        (tree / "model").write_text(f"{self.model}\0")
        binds = [
            *super()._binds(),
            *self._sys_binds(),
            [str(self.folder / "thermal"), "/sys/class/thermal", "ro"],
            [str(self.folder / "firmware"), "/sys/firmware", "ro"],
        ]
        if not self.arm64:
            # The tests' Python may lie where the layer has a folder of its own, as in /tmp.
            binds += [[str(place), str(place), "ro"] for place in python_places()]
        return binds

    def _sys_binds(self) -> list[list[str]]:
        top = self.folder / "sys"
        for path, text in self.sys.items():
            file = top / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        if (top / "class").exists():
            (top / "class/thermal").mkdir()
        return [[str(folder), f"/sys/{folder.name}", "ro"] for folder in top.glob("*")]

    def _furnish(self) -> None:
        for name in ("id_ed25519", "host_key"):
            _make_key(self.folder / name)
        self._add_user()
        self._give_host_key(self.folder / "host_key")
        kind, blob = Path(f"{self.folder}/host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {kind} {blob}\n")
        self.write(CONFIG, SSHD)
        self.path("/run/sshd").mkdir(exist_ok=True)
        self.write("/usr/local/bin/date", CLOCK, mode=0o755)
        if not self.arm64:
            self._give_python()

    def add_account(self, user: str, number: int) -> None:
        """Add an account that lets in the same key, and has a home of its own."""
        self._add_user(user, number, f"/srv/{user}")

    def _add_user(self, user: str = USER, number: int = USER_ID, home: str = f"/home/{USER}") -> None:
        for file, line in (
            ("/etc/passwd", f"{user}:x:{number}:{number}::{home}:/bin/bash\n"),
            ("/etc/group", f"{user}:x:{number}:\n"),
            ("/etc/shadow", f"{user}:*:20000::::::\n"),
        ):
            with self.path(file).open("a") as users:
                users.write(line)
        self.write(f"{home}/.ssh/authorized_keys", Path(f"{self.key}.pub").read_text(), mode=0o600)
        self.run(f"chown -R {number}:{number} {home} && chmod 755 {home} && chmod 700 {home}/.ssh")

    def _give_host_key(self, key: Path) -> None:
        self.write(HOST_KEY, key.read_text(), mode=0o600)

    def _give_python(self) -> None:
        """Make `python3` the tests' own, for a user who may not enter the folders on the way to it."""
        for place in python_places():
            for folder in place.parents:
                inside = self.path(str(folder))
                inside.chmod(inside.stat().st_mode | 0o011)
        interpreter = f"{python_places()[0]}/bin/python"
        self.write("/usr/local/bin/python3", f'#!/bin/sh\nexec {interpreter} "$@"\n', mode=0o755)

    def _daemon_command(self) -> list[str]:
        return self.enter("/usr/sbin/sshd", "-D", "-e", "-f", CONFIG)


def python_places() -> list[Path]:
    """Where the tests' Python and the one that it was made from lie, behind all links."""
    return [Path(place).resolve() for place in (python.prefix, python.base_prefix)]


def _make_key(file: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "edgekit lab", "-f", file]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
