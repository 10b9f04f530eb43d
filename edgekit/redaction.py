"""Secrets in text: what is printed, logged or kept names addresses without the passwords and tokens in them."""

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
    """Return `text` with every address in it without its user name, password and secret parts of its query.

    ``https://me:pass@host/x?token=t`` becomes ``https://host/x?token=***``.
    """
    return SECRET.sub(r"\1***", USER.sub("", text))
