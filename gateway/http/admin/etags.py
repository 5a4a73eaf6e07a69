"""Versions of resources in headers, against lost updates: RFC 9110, sections 8.8.3 and 13.1.1."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from gateway.http.admin.problems import Invalid

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description='The `ETag` that the resource had when you read it: `"3"`. Another version is refused with 412. '
        "Omitted or `*`: whatever version is there.",
    ),
]
_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')


def etag(version: int) -> str:
    """The header's value."""
    return f'"{version}"'


def wanted(if_match: str | None) -> int | None:
    """The version that the caller wants to change; None: any. Raises Invalid for what is no ETag of ours."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise Invalid(
            "If-Match: this is no ETag of this API.",
            field="If-Match",
            suggestions=['Send the ETag as it came, with its quotes: `If-Match: "3"`.'],
        )
    return int(found[1])
