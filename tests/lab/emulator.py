"""arm64 programs on this machine: trixie's qemu, registered with the kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import roots
from .errors import LabError

REGISTRY = Path("/proc/sys/fs/binfmt_misc")
NAME = "edgekit-lab-aarch64"
# An ELF file of 64 bits, little-endian, executable or shared, for machine 183; the mask leaves the ABI's byte open.
MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def register() -> None:
    """Let the kernel run arm64 programs by qemu, also in a root that does not contain it.

    The entry stays until this machine is restarted: processes of other tests may be running by it.
    """
    if (REGISTRY / NAME).exists():
        return
    if not (REGISTRY / "register").exists():
        mounting = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(REGISTRY)]
        if subprocess.run(mounting, check=False).returncode:
            raise LabError(f"this machine's kernel takes no other architectures' programs: {' '.join(mounting)} failed")
    qemu = roots.root("qemu") / "usr/bin/qemu-aarch64"
    # P: keep argv[0]; O: hand over the open file; F: open the emulator now, so that roots need not contain it.
    entry = b":".join([b"", NAME.encode(), b"M", b"", MAGIC, MASK, str(qemu).encode(), b"POF"])
    try:
        (REGISTRY / "register").write_bytes(entry)
    except FileExistsError:
        return  # another test was faster
