"""Files as Converse takes them: by format, each under a name of its own."""

from __future__ import annotations

import re

from gateway.providers.chat.media import Media

FORMATS = frozenset({"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"})
_BY_KIND = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "text/x-markdown": "md",
    "application/json": "txt",
}
_BY_END = {"htm": "html", "markdown": "md", "text": "txt", "json": "txt", "log": "txt", "xml": "txt", "yaml": "txt"}
_ODD = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+")
_MOST = 200


def format_of(media: Media, filename: str) -> str | None:
    """Told by the bytes or the declared type, else by the end of the file's name; None for what Converse cannot
    read."""
    known = _BY_KIND.get(media.kind)
    if known is not None:
        return known
    end = filename.rpartition(".")[2].lower() if "." in filename else ""
    end = _BY_END.get(end, end)
    if end in FORMATS and (not media.kind or media.kind.startswith(("text/", "application/"))):
        return end
    return "txt" if media.kind.startswith("text/") else None


class DocumentNames:
    """The names of one request's files: in letters that Converse takes, and no two alike, which it insists on."""

    __slots__ = ("_given",)

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name_of(self, filename: str) -> str:
        """The next file's name."""
        stem = " ".join(_ODD.sub(" ", filename.rpartition(".")[0] or filename).split())[:_MOST] or "Document"
        number, name = len(self._given) + 1, stem
        if stem == "Document" or stem in self._given:
            name = f"{stem} {number}"
        while name in self._given:
            number += 1
            name = f"{stem} {number}"
        self._given.add(name)
        return name
