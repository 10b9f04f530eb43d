"""The first process of a lab device: mounts what the device sees, then waits until the lab lets go of it.

machine.py starts it in new namespaces with one argument, a JSON object. It prints its process id as the lab sees it, and
"ready" when the device stands. All that it mounts, and all that runs on the device, ends with it: when its standard
input is closed, which also happens when the lab is killed.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


def main() -> None:
    child = os.fork()  # unshare puts the children of its program into the new PID namespace, not the program
    if child:
        print(child, flush=True)
        os.waitpid(child, 0)
        return
    spec = json.loads(sys.argv[1])
    root = overlay(Path(spec["base"]), spec["lower"])
    system_folders(root)
    for target, size in spec["disks"].items():
        folder(root, target)
        mount("-t", "tmpfs", "-o", f"size={size},mode=755", "lab", root / target.lstrip("/"))
    for source, target, mode in spec["binds"]:
        bind(Path(source), root / target.lstrip("/"), mode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.chroot(root)
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whom nobody waits for, the kernel clears away
    print("ready", flush=True)
    sys.stdin.buffer.read()


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def folder(root: Path, inside: str, mode: int = 0o755) -> Path:
    path = root / inside.lstrip("/")
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def overlay(base: Path, lower: str) -> Path:
    """The device's file system: a root that stays as it is, under a layer in memory that takes all changes."""
    mount("-t", "tmpfs", "-o", "mode=755", "lab", base)
    upper, work, root = (folder(base, name) for name in ("upper", "work", "root"))
    mount("-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "lab", root)
    return root


def system_folders(root: Path) -> None:
    for name, kind in (("proc", "proc"), ("sys", "sysfs")):
        mount("-t", kind, kind, folder(root, name))
    dev = folder(root, "dev")
    mount("-t", "tmpfs", "-o", "mode=755", "lab", dev)
    for name, (major, minor) in NODES.items():
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", folder(dev, "pts"))
    mount("-t", "tmpfs", "-o", "mode=1777", "lab", folder(dev, "shm"))
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")):
        (dev / name).symlink_to(target)
    mount("-t", "tmpfs", "-o", "mode=755", "lab", folder(root, "run"))
    mount("-t", "tmpfs", "-o", "mode=1777", "lab", folder(root, "tmp"))


def bind(source: Path, target: Path, mode: str) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--bind", source, target)
    if mode == "ro":
        mount("-o", "remount,bind,ro", target)


if __name__ == "__main__":
    main()
