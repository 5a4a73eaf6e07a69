"""Vertex AI: Google's models answer as at the Gemini API, Claude as at Anthropic's."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.recordings.exchanges import Exchange
from tests.providers.recordings.readers import Told
from tests.providers.recordings.readers.anthropic import READER as CLAUDE
from tests.providers.recordings.readers.gemini import Gemini


class Vertex(Gemini):
    """See `Reader`."""

    dialect = "vertex"
    recorded = (("vertex", "generateContent"), ("vertex", "rawPredict"))

    def served(self, exchange: Exchange) -> bool:
        return CLAUDE.served(exchange) if exchange.api == "rawPredict" else super().served(exchange)

    def told(self, exchange: Exchange) -> Told:
        return CLAUDE.told(exchange) if exchange.api == "rawPredict" else super().told(exchange)

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        return CLAUDE.asked(exchange) if exchange.api == "rawPredict" else super().asked(exchange)

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        if "anthropic_version" not in recorded:
            super().same(ours, recorded)
            return
        assert json.loads(ours)["anthropic_version"] == recorded["anthropic_version"]
        CLAUDE.same(ours, recorded)


READER = Vertex()
