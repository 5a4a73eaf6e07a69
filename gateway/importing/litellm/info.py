"""`model_info`: what LiteLLM was told of a model. Prices are taken from it; for the rest there are comments."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gateway.importing.litellm.kinds import KINDS, kind_of
from gateway.registry.problems import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from gateway.types import Price
    from gateway.usage.catalogue import PriceBook

_ACCESS = frozenset({"access_groups", "team_id", "team_public_model_name"})
_ABOUT_ITSELF = frozenset({"id", "db_model", "created_at", "created_by", "updated_at", "updated_by"})
"""What LiteLLM notes for its own use."""


def list_price(base_model: str, kind: str, model: str) -> dict[str, Any] | None:
    """The catalogue's price of the model that a deployment of this type is said to be; None when it has none, and
    nothing where it says the same of the deployment's own name."""
    book = _book()
    found = (book.price_of(house, house, name) for house, name in _places(base_model, kind))
    price = next((price for price in found if price is not None), None)
    if price is None:
        return None
    return {} if price == book.price_of(kind, kind, model) else _written(price)


@lru_cache(maxsize=1)
def _book() -> PriceBook:
    from gateway.usage.catalogue import PriceBook  # noqa: PLC0415 - it costs memory and time, and few files need it

    return PriceBook()


def _places(base_model: str, kind: str) -> Iterator[tuple[str, str]]:
    """Where its price may stand, the likeliest first. Azure's names hold a region: `azure/eu/gpt-4o`."""
    prefix, _, rest = base_model.partition("/")
    if rest and prefix in KINDS:
        yield KINDS[prefix].type, rest
        yield KINDS[prefix].type, rest.rpartition("/")[2]
    yield kind, base_model
    known = kind_of(base_model, None)
    if known is not None:
        yield KINDS[known[0]].type, known[1]


def _written(price: Price) -> dict[str, Any]:
    """A price as it stands in a file: what is free or not said is left out."""
    amounts = {name: amount for name, amount in asdict(price).items() if amount and name not in {"version", "tiers"}}
    tiers = [{name: amount for name, amount in asdict(tier).items() if amount is not None} for tier in price.tiers]
    return (amounts or {"input": 0.0}) | ({"tiers": tiers} if tiers else {})


def tell_info(info: Mapping[str, Any], read: Collection[str], tell: Callable[[str], None], place: str) -> None:
    """Comments for what is not among the `read`."""
    for name in sorted(map(str, info.keys() - _ABOUT_ITSELF - set(read))):
        why = "nothing here corresponds to it"
        if name in _ACCESS:
            why = "it says who may use the model, and here every key may whose `models` do not say otherwise"
        elif name == "mode" or name.startswith("supports_"):
            why = "see `capabilities`, should this model differ from what is known of it"
        tell(f"{shown(f'model_info.{name}')} was not carried over: {why} ({place})")
