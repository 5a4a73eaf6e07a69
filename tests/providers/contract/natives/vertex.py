"""Google's generateContent, at Vertex AI: the same words at another address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .gemini import Gemini


class Vertex(Gemini):
    """See `Native`."""

    options: Mapping[str, Any] = {"project": "mine", "location": "europe-west4"}
    base_url = "https://provider.invalid/v1beta1"
    prefix = b"/v1beta1/projects/mine/locations/europe-west4/publishers/google/models/"

    def credential(self, headers: dict[bytes, bytes]) -> bytes:
        return headers[b"authorization"].removeprefix(b"Bearer ")


NATIVE = Vertex()
