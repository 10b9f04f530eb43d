"""Switch RSA authentication on in a copy of Debian's adbd.

Debian builds the daemon for machines without Android's framework and lets everybody in: `main` stores false in
`auth_required`, which starts as true, right beside its look-up of the environment variable ADB_EXTERNAL_STORAGE. Taking
that one store out leaves authentication on.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

LANDMARK = b"ADB_EXTERNAL_STORAGE\0"
LOADABLE, EXECUTABLE = 1, 1


@dataclass(frozen=True)
class Segment:
    """A part of the file and where it lies in memory."""

    offset: int
    address: int
    size: int
    executable: bool


def with_authentication(adbd: bytes) -> bytes:
    """Return the daemon's file with authentication on; ValueError unless the store is found exactly once."""
    (machine,) = struct.unpack_from("<H", adbd, 18)
    find, nothing = MACHINES[machine]
    stores = sorted(set(find(adbd, _segments(adbd))))
    if len(stores) != 1:
        raise ValueError(f"the store that switches authentication off was found {len(stores)} times, not once")
    patched = bytearray(adbd)
    patched[stores[0] : stores[0] + len(nothing)] = nothing
    return bytes(patched)


def _segments(elf: bytes) -> list[Segment]:
    (table,) = struct.unpack_from("<Q", elf, 0x20)
    (count,) = struct.unpack_from("<H", elf, 0x38)
    segments = []
    for index in range(count):
        kind, flags, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", elf, table + 56 * index)
        if kind == LOADABLE:
            segments.append(Segment(offset, address, size, bool(flags & EXECUTABLE)))
    return segments


def _address(offset: int, segments: list[Segment]) -> int:
    """Where a byte of the file lies in memory."""
    segment = next(each for each in segments if each.offset <= offset < each.offset + each.size)
    return segment.address + offset - segment.offset


def _stores_x86_64(elf: bytes, segments: list[Segment]) -> list[int]:
    """`movb $0, (%rax)` followed by `lea LANDMARK(%rip), %rdi`."""
    landmark = _address(elf.index(LANDMARK), segments)
    pattern = re.compile(rb"\xc6\x00\x00\x48\x8d\x3d(....)", re.DOTALL)
    hits = []
    for segment in filter(lambda each: each.executable, segments):
        for match in pattern.finditer(elf, segment.offset, segment.offset + segment.size):
            (distance,) = struct.unpack("<i", match[1])
            if _address(match.end() - 1, segments) + 1 + distance == landmark:
                hits.append(match.start())
    return hits


def _stores_aarch64(elf: bytes, segments: list[Segment]) -> list[int]:
    """`strb wzr, [xN]` at most four instructions from `adr x0, LANDMARK`."""
    landmark = _address(elf.index(LANDMARK), segments)
    hits = []
    for segment in filter(lambda each: each.executable, segments):
        words = memoryview(elf[segment.offset : segment.offset + segment.size // 4 * 4]).cast("I")
        for index, word in enumerate(words):
            if word & 0x9F00001F == 0x10000000 and segment.address + 4 * index + _adr_distance(word) == landmark:
                near = range(max(index - 4, 0), min(index + 5, len(words)))
                hits += [segment.offset + 4 * at for at in near if words[at] & 0xFFFFFC1F == 0x3900001F]
    return hits


def _adr_distance(word: int) -> int:
    """The signed 21-bit distance of an `adr`: its two lowest bits stand apart from the others."""
    distance = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
    return distance - (1 << 21) if distance & 1 << 20 else distance


# ELF's number of the machine -> how to find the store, and an instruction of its length that does nothing.
MACHINES = {62: (_stores_x86_64, b"\x0f\x1f\x00"), 183: (_stores_aarch64, b"\x1f\x20\x03\xd5")}
