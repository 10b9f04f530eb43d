"""Removal of passwords and tokens from addresses before text is printed, logged or stored."""

from __future__ import annotations

import re

USER = re.compile(r"(?<=://)[^\s/]*@")
"""``name:password@`` of an address. A slash in a password must be written as %2F."""
SECRET = re.compile(
    r"([?&](?:[\w.-]*[-_])?(?:token|password|passwd|pwd|secret|signature|sig|credential|key|apikey|auth)=)[^\s&#'\"]+",
    re.IGNORECASE,
)
"""A part of an address's query whose name says that it is secret."""


def redacted(text: str) -> str:
    """Return `text` without user names, passwords and secret query parts in its addresses.

    ``https://me:pass@host/x?token=t`` becomes ``https://host/x?token=***``.
    """
    return SECRET.sub(r"\1***", USER.sub("", text))
