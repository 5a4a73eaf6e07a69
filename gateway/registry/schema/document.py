"""The whole document: checks plain data against the models and gives every fault at once."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from gateway.registry.catalogue import ALIASES, TYPES, Known, provider_type, unmet
from gateway.registry.problems import Fault, Trail, did_you_mean
from gateway.registry.schema.access import Alerts, Key, LimitRule, Team
from gateway.registry.schema.explain import explain
from gateway.registry.schema.fields import ModelName, Name, Strict, Text, Zone
from gateway.registry.schema.providers import model_for
from gateway.registry.schema.routes import Route


class Document(Strict):
    """Configuration of the LLM gateway."""

    version: Literal[1] = Field(1, description="The version of this format.")
    zone: Zone = Field("UTC", description="The time zone whose calendar quotas follow: Europe/Berlin.")
    plugins: list[Text] = Field(
        default_factory=list,
        description="Provider types from elsewhere: a Python file beside this one, or a module. Loaded at the start.",
    )
    providers: Annotated[dict[Name, Any], Field(min_length=1)] = Field(
        description="Where models are served, by names of your choice."
    )
    aliases: dict[ModelName, ModelName] = Field(
        default_factory=dict, description="Names of your choice for models: {fast: gpt-4o-mini, best: openai/gpt-4o}."
    )
    routes: list[Route] = Field(default_factory=list, description="Rules for requests; the first that matches wins.")
    keys: list[Key] = Field(default_factory=list, description="Virtual keys; without any, every caller is accepted.")
    teams: list[Team] = Field(default_factory=list, description="Groups of keys.")
    limits: list[LimitRule] = Field(default_factory=list, description="Limits and quotas beyond keys and teams.")
    alerts: Alerts | None = Field(None, description="Where quotas, incidents and refused configurations are told.")


def faults(data: Any, missing: Mapping[Trail, str], dialects: Known | None) -> list[Fault]:
    """Every fault of the document; what only follows from an unset variable is left out."""
    if not isinstance(data, dict):
        return [Fault((), "expected a mapping at the top (start with `providers:`)")]
    found: list[Fault] = []
    providers = data.get("providers")
    for name, settings in providers.items() if isinstance(providers, dict) else ():
        found += _provider_faults(("providers", name), settings, missing, dialects)
    found += _validated(Document, data, ())
    found += _secretless_keys(data, missing)
    empty = {trail: Fault(trail, "there is no value (add one, or remove the key)") for trail in _empty(data, ())}
    found = [*empty.values(), *(fault for fault in found if fault.trail not in empty)]
    return [fault for fault in found if not _follows_from(fault, missing)]


def _empty(value: Any, trail: Trail) -> Iterator[Trail]:
    """Where nothing is written, except for models without settings and in parameters, which are the provider's JSON."""
    if value is None and not (len(trail) == 4 and trail[2] == "models"):
        yield trail
    elif isinstance(value, dict | list) and not (len(trail) == 5 and trail[4] == "parameters"):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for step, item in items:
            yield from _empty(item, (*trail, step))


def _validated(model: type[BaseModel], data: Any, prefix: Trail) -> Iterator[Fault]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            yield explain(detail, model, prefix)


def _provider_faults(
    trail: Trail, settings: Any, missing: Mapping[Trail, str], dialects: Known | None
) -> Iterator[Fault]:
    if not isinstance(settings, dict):
        yield Fault(trail, "expected a mapping (write `type: …` and the provider's settings below it)")
        return
    named = settings.get("type")
    kind = provider_type(named, dialects)
    if kind is None:
        yield _unknown_type(trail, named, dialects)
        return
    wrong = list(_validated(model_for(kind), settings, trail))
    yield from wrong
    unset = {str(other[2]): "" for other in missing if other[:2] == trail and len(other) > 2}
    lacking = unmet(kind, {**unset, **settings})
    if lacking is not None:
        yield Fault(trail, f"a provider of type `{kind.name}` needs {lacking} (add it)", at_key=True)
    if not kind.templates:
        headers = settings.get("headers")
        for name, value in headers.items() if isinstance(headers, dict) else ():
            if isinstance(value, str) and "{api_key}" in value:
                other = "only a provider of type `openai_compatible` has its credential put into headers"
                yield Fault((*trail, "headers", name), f"{other} (write the value itself, as ${{VAR}})")


def _unknown_type(trail: Trail, named: Any, dialects: Known | None) -> Fault:
    known = sorted({*TYPES, *ALIASES, *(dialects or ())})
    if named is None:
        message = "`type` is missing (add the kind of provider, such as `type: openai`)"
        return Fault(trail, message, at_key=True, lacks="type")
    hint = did_you_mean(named, known) if isinstance(named, str) else ""
    return Fault((*trail, "type"), f"this provider type is not known{hint} (known: {', '.join(known)})")


def _secretless_keys(data: Mapping[str, Any], missing: Mapping[Trail, str]) -> Iterator[Fault]:
    keys = data.get("keys")
    for index, key in enumerate(keys if isinstance(keys, list) else ()):
        trail = ("keys", index)
        unset = any((*trail, name) in missing for name in ("secret", "secret_hash"))
        if isinstance(key, dict) and not unset and key.get("secret") is None and key.get("secret_hash") is None:
            yield Fault(trail, "a key needs `secret` or `secret_hash` (add one of them)", at_key=True)


def _follows_from(fault: Fault, missing: Mapping[Trail, str]) -> bool:
    """Its value, or a part of it, is unset; or it is the setting that is lacking."""
    if fault.at_key:
        return fault.message.endswith("is missing (add it)") and (*fault.trail, fault.lacks) in missing
    return bool(fault.trail) and any(trail[: len(fault.trail)] == fault.trail for trail in missing)
