"""What is known of an attempt before it is made that its cost depends on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.bridges.speakers import Speakers
from gateway.errors import InvalidRequest
from gateway.ports import Dialect, TierDialect
from gateway.providers.wire.jsonscan import members
from gateway.providers.wire.tiers import ORDINARY
from gateway.upstream.batches import Batches

if TYPE_CHECKING:
    from gateway.types import Call, Deployment, Price

_FIELD = "service_tier"
_BOUNDING = (ORDINARY - {"auto", "unspecified"}) | {"flex"}
"""Whoever asks for one of these is never served at a dearer one."""


class Foresight:
    """Tells of calls to deployments. Holds no state of a call."""

    def __init__(self, dialects: Mapping[str, Dialect]) -> None:
        self._batches = Batches(dialects)
        self._speakers = Speakers(dialects)

    def requests(self, call: Call, deployment: Deployment) -> int:
        """Into how many requests the attempt is split."""
        return self._batches.requests(call, deployment)

    def tier(self, call: Call, deployment: Deployment, price: Price) -> str:
        """The tier with a price of its own that the call asks for; empty for the ordinary one."""
        named = self._named(call, deployment) if price.service_tiers else None
        return named if named is not None and named in price.service_tiers else ""

    def tiers(self, call: Call, deployment: Deployment, price: Price) -> Collection[str]:
        """Those with a price of their own that it may be served at, if not at the ordinary one."""
        if not price.service_tiers:
            return ()
        named = self._named(call, deployment)
        if named is not None and named in price.service_tiers:
            return (named,)
        return () if named in _BOUNDING else tuple(price.service_tiers)

    def _named(self, call: Call, deployment: Deployment) -> str | None:
        """The tier that the provider is asked for; None where the choice may be its own."""
        dialect: object = self._speakers.find(call.service, call.path, deployment)
        if not isinstance(dialect, TierDialect) or not dialect.names_tier(call, deployment):
            return None
        try:
            given = [member for member in members(call.raw) if member.key.lower() == _FIELD] if call.raw else []
        except InvalidRequest:
            return None
        if not given:
            named = deployment.parameters.get(_FIELD)
        elif len(given) == 1 and given[0].key == _FIELD:
            named = msgspec.json.decode(call.raw[given[0].start : given[0].end])
        else:
            named = None  # of several every reader takes the one it likes
        return named if isinstance(named, str) else None
