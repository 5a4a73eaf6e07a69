"""What forms say besides their model."""

from __future__ import annotations

from gateway.types import Call, Form


def said(call: Call, name: str) -> str | None:
    """What the call's form says under this name, as far as it has arrived; None for what is no form."""
    upload = call.upload
    if upload is None:
        return None
    return upload.field(name) if isinstance(upload, Form) else None
