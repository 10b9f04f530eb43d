"""The lab's parts: Debian packages on this machine, and the roots of its devices under `.cache/lab`.

`python -m tests.lab.roots` (which is `make lab-deps`) installs and makes what is not there; `lacking` tells a test what is
missing. A root's folder is named by a hash of what it is made of, so a changed recipe makes a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from .adbd_auth import with_authentication

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "lab"
RECIPE = tomllib.loads((HERE / "packages.toml").read_text())
NATIVE = "android-amd64"
ADBD = "usr/lib/android-sdk/platform-tools/adbd"
ANDROID_PROGRAM = "usr/bin/adbd-auth"
SHIM = "usr/lib/adbd-shim.so"
# What Android has and Debian's toybox is built without.
FILLERS = ("awk", "dd", "diff", "expr", "gzip", "tr")
COMPILERS = {"amd64": "g++", "arm64": "aarch64-linux-gnu-g++"}
PROGRAMS = ("adb", "ip", "nsenter", "ssh-keygen", "sshd", "unshare")
NO_SERVICES = Path("/usr/sbin/policy-rc.d")


def root(name: str) -> Path:
    """Return the folder of a device root, which `make lab-deps` makes."""
    files = ["roots.py", *(("adbd_auth.py", "adbd_shim.cpp") if name.startswith("android") else ())]
    made_of = [json.dumps(RECIPE["roots"][name], sort_keys=True), RECIPE["suite"]]
    made_of += [(HERE / file).read_text() for file in files]
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()
    return CACHE / f"{name}-{digest[:12]}"


def lacking(*roots: str) -> str | None:
    """Return one sentence on what the lab lacks for these roots and what to run; None where all is there."""
    if reason := _unfit():
        return f"the lab cannot run: {reason}"
    absent = [program for program in PROGRAMS if not find(program)]
    absent += [f"the root {name}" for name in roots if not root(name).exists()]
    return f"the lab lacks {', '.join(absent)}: run `make lab-deps`" if absent else None


def find(program: str) -> str | None:
    """Return a program's path, also where only root's PATH has it."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def main(*names: str) -> None:
    """Install and make what is missing."""
    if reason := _unfit():
        sys.exit(f"The lab cannot be installed: {reason}.")
    if not shutil.which("apt-get"):
        sys.exit("The lab is made of Debian packages, and this machine has no apt-get.")
    _install([name for name in RECIPE["host"] if not _installed(name)])
    absent = [name for name in names or RECIPE["roots"] if not root(name).exists()]
    if NATIVE in absent:
        absent.remove(NATIVE)
        _make(NATIVE)  # the first: others are completed by its programs
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_make, absent))


@cache
def _unfit() -> str | None:
    if platform.machine() != "x86_64":
        return f"it needs an x86-64 machine, this is {platform.machine()}"
    if os.geteuid():
        return "it needs root for namespaces and mounts, run it as root or with sudo"
    if find("unshare") and subprocess.run(["unshare", "--mount", "--net", "true"], check=False).returncode:
        return "it needs namespaces, which root may not make here: run the container with --privileged"
    return None


def _installed(package: str) -> bool:
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Status}", package], capture_output=True, text=True, check=False
    )
    return asked.stdout == "install ok installed"


def _install(packages: list[str]) -> None:
    if not packages:
        return
    print(f"installing {' '.join(packages)}", flush=True)
    # Nothing that is installed for the tests starts a service: not the SSH server, which would listen on all addresses.
    keep_quiet = not NO_SERVICES.exists()
    if keep_quiet:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
        NO_SERVICES.chmod(0o755)
    try:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages)
    finally:
        if keep_quiet:
            NO_SERVICES.unlink()


def _make(name: str) -> None:
    recipe, target = RECIPE["roots"][name], root(name)
    print(f"making {target.relative_to(CACHE.parents[1])}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old)
    unfinished = target.with_name(f"{target.name}.unfinished")
    wanted = [package + (f"={version}" if version else "") for package, version in recipe["packages"].items()]
    try:
        _unpack(recipe["architecture"], wanted, recipe.get("only"), unfinished)
        _complete(name, unfinished, recipe["architecture"])
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unpack(architecture: str, packages: list[str], only: str | None, target: Path) -> None:
    """Fetch packages with what they depend on, checked against the archive's signature, and unpack them, or one file."""
    chosen = ["--dpkgopt=path-exclude=/*", f"--dpkgopt=path-include={only}"] if only else []
    done = subprocess.run(
        [
            *("mmdebstrap", "--variant=extract", f"--architectures={architecture}", *chosen),
            *(f"--include={','.join(packages)}", RECIPE["suite"], target),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        gone = [package for package in packages if f"Version '{package.partition('=')[2]}'" in done.stderr]
        if gone:
            sys.exit(
                f"The archive no longer has {', '.join(gone)}: try the lab with its version and change packages.toml."
            )
        sys.exit(f"mmdebstrap could not unpack {', '.join(packages)}: {done.stderr.strip()}")


def _complete(name: str, folder: Path, architecture: str) -> None:
    """Do what maintainer scripts would have done, and add what the lab needs."""
    for link in ("bin", "sbin", "lib", "lib64"):
        if not (folder / link).exists() and (folder / "usr" / link).exists():
            (folder / link).symlink_to(f"usr/{link}")
    if name.startswith("android"):
        _complete_android(folder, architecture)
    if name.startswith("board"):
        _complete_board(folder)


def _complete_android(folder: Path, architecture: str) -> None:
    # The names are the same on all architectures, and only this machine's toybox can be asked.
    native = folder if architecture == "amd64" else root(NATIVE)
    names = subprocess.run(["chroot", native, "/usr/bin/toybox"], capture_output=True, text=True, check=True).stdout
    links = {**dict.fromkeys(names.split(), "toybox"), **dict.fromkeys(FILLERS, "busybox"), "sh": "mksh"}
    for name, program in links.items():
        (folder / "usr/bin" / name).unlink(missing_ok=True)
        (folder / "usr/bin" / name).symlink_to(program)
    (folder / "system/bin").mkdir(parents=True)
    (folder / "system/bin/sh").symlink_to("../../usr/bin/mksh")
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc/passwd").write_text("root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nshell:x:2000:\n")
    (folder / ANDROID_PROGRAM).write_bytes(with_authentication((folder / ADBD).read_bytes()))
    (folder / ANDROID_PROGRAM).chmod(0o755)
    _run(COMPILERS[architecture], "-shared", "-fPIC", "-O1", "-o", folder / SHIM, HERE / "adbd_shim.cpp")


def _complete_board(folder: Path) -> None:
    users = [
        "root:x:0:0::/root:/bin/bash",
        "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin",
        "nobody:x:65534:65534::/:/bin/false",
    ]
    (folder / "etc/passwd").write_text("".join(f"{user}\n" for user in users))
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (folder / "etc/shadow").write_text("root:*:20000::::::\n")
    python = next((folder / "usr/bin").glob("python3.[0-9]*"), None)
    if python and not (folder / "usr/bin/python3").exists():
        (folder / "usr/bin/python3").symlink_to(python.name)


def _run(*command: str | Path) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(*sys.argv[1:])
