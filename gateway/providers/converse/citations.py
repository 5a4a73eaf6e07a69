"""Sources of what a model said, as OpenAI's `url_citation`; those without an address have no place there."""

from __future__ import annotations

from typing import Any

import msgspec


class _Web(msgspec.Struct, gc=False):
    url: str = ""
    domain: str = ""


class _Location(msgspec.Struct, gc=False):
    web: _Web | None = None


class Citation(msgspec.Struct, gc=False):
    """`source` is what a search result of the client's was called, often its address."""

    title: str | None = None
    source: str | None = None
    location: _Location | None = None


def annotation_of(citation: Citation, start: int, end: int) -> dict[str, Any] | None:
    """In OpenAI's shape; `start` and `end` are the characters of the answer that it is for."""
    web = citation.location.web if citation.location is not None else None
    url = web.url if web is not None else citation.source or ""
    if not url.startswith(("http://", "https://")):
        return None
    title = citation.title or (web.domain if web is not None else "") or url
    return {
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": start, "end_index": end},
    }
