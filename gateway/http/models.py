"""`/v1/models`: the names a key may use, in the shape of whichever API the client speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.auth.keys import may_use
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.http.routes import Destination
from gateway.registry.snapshot import Snapshot
from gateway.types import Deployment, Price, Principal

_WILD = frozenset("*?[")
CREATED = 1_700_000_000
"""A fixed moment: providers' own dates are not known here, and clients want a number."""
CREATED_AT = "2023-11-14T22:13:20Z"
"""The same."""
PAGE = 1000
"""Models of one page of Anthropic's list, at most and unless the client says less."""
_SUPPORTS = {"image_input": "vision", "structured_outputs": "json_schema", "thinking": "reasoning"}
"""Anthropic's words for capabilities that deployments declare."""

PriceOf = Callable[[Deployment], Price | None]
Model = dict[str, Any]


class Listing:
    """What one caller may know of the models. `pinned`: of this provider alone. Raises ModelNotFound for no such."""

    def __init__(self, snapshot: Snapshot, principal: Principal, price_of: PriceOf, pinned: str | None = None) -> None:
        if pinned is not None and pinned not in snapshot.providers:
            raise ModelNotFound(f"No provider is called `{pinned}`.")
        self._snapshot = snapshot
        self._principal = principal
        self._price_of = price_of
        self._pinned = pinned
        # Backwards: of several routes for a name the first one wins.
        routes = () if pinned is not None else reversed(snapshot.routes)
        self._routes = {model: route for route in routes for model in route.match.models}

    def names(self) -> dict[str, str]:
        """Model names with their owners: aliases, plain names of routes, then bare names, each as a client would write
        it."""
        snapshot, pinned = self._snapshot, self._pinned
        names: dict[str, str] = {}
        if pinned is None:
            plain = (
                model for route in snapshot.routes for model in route.match.models if not _WILD.intersection(model)
            )
            names = dict.fromkeys([*snapshot.aliases, *plain], "gateway")
        for name, deployments in snapshot.models.items():
            owners = [d.provider.name for d in deployments if pinned in (None, d.provider.name)]
            if owners:
                names.setdefault(name, owners[0])
        return {name: owner for name, owner in names.items() if may_use(self._principal, name)}

    def owner_of(self, name: str) -> str:
        """Raises ModelNotFound for a name that the caller may not use, or nobody has."""
        owner = self.names().get(name)
        if owner is not None:
            return owner
        provider, _, model = name.partition("/")
        if not may_use(self._principal, name) or self._snapshot.deployment_for(provider, model) is None:
            raise ModelNotFound.called(name)
        return provider

    def openai(self, name: str, owner: str) -> Model:
        """As OpenAI's list has it; what is known of it besides comes last."""
        found = self._deployment(name)
        price = None if found is None else self._price_of(found)
        return {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": owner,
            "context_window": found and found.context_window,
            "max_output_tokens": found and found.max_output_tokens,
            "capabilities": sorted(found.capabilities) if found is not None and found.capabilities else None,
            "price": None if price is None else _price(price),
        }

    def anthropic(self, name: str) -> Model:
        """As Anthropic's list has it, and the price."""
        found = self._deployment(name)
        price = None if found is None else self._price_of(found)
        declared = found.capabilities if found is not None else None
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": CREATED_AT,
            "lifecycle": "active",
            "max_input_tokens": found and found.context_window,
            "max_tokens": found and found.max_output_tokens,
            "capabilities": {name: {"supported": word in declared} for name, word in _SUPPORTS.items()}
            if declared
            else None,
            "price": None if price is None else _price(price),
        }

    def _deployment(self, name: str) -> Deployment | None:
        """The first that serves this name, if it is known beforehand which one that is."""
        snapshot = self._snapshot
        name = snapshot.aliases.get(name, name)
        route = self._routes.get(name)
        if route is not None:
            return route.targets[0].deployment if route.targets else None
        listed = (d for d in snapshot.models.get(name, ()) if self._pinned in (None, d.provider.name))
        return next(listed, None) or snapshot.deployments.get(name)


def openai_models(listing: Listing, destination: Destination) -> bytes:
    """The list, or the one model that the path names. Raises ModelNotFound."""
    if destination.model is not None:
        return orjson.dumps(listing.openai(destination.model, listing.owner_of(destination.model)))
    data = [listing.openai(name, owner) for name, owner in listing.names().items()]
    return orjson.dumps({"object": "list", "data": data})


def anthropic_models(listing: Listing, destination: Destination, query: bytes) -> bytes:
    """A page of the list, or the one model that the path names. Raises ModelNotFound, InvalidRequest."""
    if destination.model is not None:
        listing.owner_of(destination.model)
        return orjson.dumps(listing.anthropic(destination.model))
    names, more = _page(list(listing.names()), query)
    data = [listing.anthropic(name) for name in names]
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return orjson.dumps({"data": data, "has_more": more, **ends})


def _page(names: list[str], query: bytes) -> tuple[list[str], bool]:
    """The names that `limit`, `after_id` and `before_id` ask for, and whether there are more in that direction."""
    asked = dict(parse_qsl(query.decode("latin-1")))
    limit = asked.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= PAGE):
        raise InvalidRequest(f"`limit` must be a number from 1 to {PAGE}.", param="limit")
    size = int(limit[:6])
    if "before_id" in asked:
        before = names[: _index(names, asked["before_id"])]
        return before[-size:], len(before) > size
    after = names[_index(names, asked["after_id"]) + 1 :] if "after_id" in asked else names
    return after[:size], len(after) > size


def _index(names: list[str], name: str) -> int:
    if name not in names:
        raise InvalidRequest("No model of this list has the id that the page is asked from.", param="after_id")
    return names.index(name)


def _price(price: Price) -> dict[str, Any]:
    """USD per million tokens, by the words of the configuration; only what is charged by itself."""
    told: dict[str, Any] = {
        "input": price.input,
        "output": price.output,
        "cached_input": price.cached_input,
        "cache_write": price.cache_write,
        "cache_write_1h": price.cache_write_1h,
        "reasoning": price.reasoning,
        "per_request": price.per_request or None,
        "per_unit": price.per_unit or None,
        "per_search": price.per_search or None,
        "service_tiers": {name: _price(other) for name, other in price.service_tiers.items()} or None,
    }
    return {name: value for name, value in told.items() if value is not None}
