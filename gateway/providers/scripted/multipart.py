"""Just enough of multipart/form-data (RFC 7578) to read what SDKs upload: whole bodies, no nesting."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.providers.scripted.scenario import Rejected

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_VALUE = rb'(?:"([^"]*)"|([^";\s]+))'
_NAME = re.compile(rb"[ ;]name=" + _VALUE, re.IGNORECASE)
_FILENAME = re.compile(rb"filename=" + _VALUE, re.IGNORECASE)


@dataclass(slots=True)
class Form:
    """Fields by name (`x[]` counts as `x`, the last value stands) and files as (name, file name, content)."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)


def parse_form(content_type: str, body: bytes) -> Form:
    """The form in a body. Raises Rejected when it is none."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise Rejected(400, "The content type must be multipart/form-data with a boundary.")
    mark = b"--" + match[1].encode("latin-1")
    sections = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise Rejected(400, "The multipart body is incomplete.")
    form = Form()
    for section in sections[1:-1]:
        _read(section, form)
    return form


def _read(section: bytes, form: Form) -> None:
    head, blank, content = section.partition(b"\r\n\r\n")
    name = _NAME.search(head)
    if not blank or name is None:
        raise Rejected(400, "A part of the multipart body has no name.")
    key = (name[1] or name[2] or b"").decode("utf-8", "replace").removesuffix("[]")
    file = _FILENAME.search(head)
    if file is None:
        form.fields[key] = content.decode("utf-8", "replace")
    else:
        form.files.append((key, (file[1] or file[2] or b"").decode("utf-8", "replace"), content))
