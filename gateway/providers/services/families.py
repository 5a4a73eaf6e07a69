"""What models are for, as far as their names tell: a provider's own error for other work would not say so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import InvalidRequest
from gateway.types import Service

_WORDS = {
    Service.CHAT: "one that chats",
    Service.EMBEDDINGS: "one for embeddings",
    Service.RERANK: "one for rerank",
    Service.TRANSCRIPTION: "one for transcriptions",
}


@dataclass(frozen=True, slots=True)
class Families:
    """The models of one provider; a name that no pattern knows may do anything."""

    patterns: Mapping[Service, re.Pattern[str]]
    examples: Mapping[Service, str]

    def check(self, model: str, service: Service) -> None:
        """Raises InvalidRequest for a model that is known to be for other work, with what to use."""
        known = {one for one, pattern in self.patterns.items() if pattern.search(model)}
        if known and service not in known:
            example = self.examples.get(service)
            advice = _WORDS.get(service, "another one") + (f", such as `{example}`" if example else "")
            raise InvalidRequest(f"This model is not for {service}: use {advice}.", param="model")
