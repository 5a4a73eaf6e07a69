"""`model_list`: deployments become models of providers. Those with the same account share a provider."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.importing.credentials import plain, reference
from gateway.importing.draft import Noted, name_for
from gateway.importing.litellm.accounts import account
from gateway.importing.litellm.kinds import KINDS, kind_of
from gateway.importing.litellm.models import model_settings, tell_of_wildcard, tell_unknown
from gateway.importing.litellm.reading import number
from gateway.registry.problems import shown
from gateway.registry.scalars import flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.importing.litellm.reading import Reader


SHARES = ("weight", "rpm", "tpm")
_OF_ENTRIES = frozenset({"model_name", "litellm_params", "model_info", "rpm", "tpm"})


@dataclass(slots=True)
class Member:
    """One deployment of a model group."""

    provider: str
    model: str
    shares: Mapping[str, float | None]
    """What its share of the calls may go by: `weight`, `rpm`, `tpm`."""
    order: float | None


@dataclass(slots=True)
class Group:
    """The deployments under one name that clients ask for."""

    name: str
    members: list[Member] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One deployment as it was read."""

    group: Group
    prefix: str
    model: str
    params: dict[str, Any]
    info: dict[str, Any]
    place: str
    settings: dict[str, Any]
    """Its account: a provider's settings, without models."""
    notes: list[str]
    """What is to be known of these."""

    @property
    def identity(self) -> str:
        """What tells its account from others."""
        return json.dumps(self.settings, sort_keys=True, default=str)

    @property
    def asked_at(self) -> str | None:
        """What clients write before the model where it passes on all models of its group's name; else None."""
        before, _, rest = self.group.name.partition("/")
        return before if "*" in self.model and rest == self.model and before == name_for(before, ()) else None


class Deployments:
    """Reads them one by one; knows afterwards which provider has which LiteLLM name."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._accounts: dict[str, str] = {}
        self._wanted: dict[str, str] = {}
        """Accounts by the names that clients know them by."""
        self.by_prefix: dict[str, list[str]] = {}
        """Our providers by LiteLLM's prefix."""
        self._credentials = reader.credentials()
        self._for_all = _drop_params(reader)

    def read(self) -> dict[str, Group]:
        """Every model group, in the file's order."""
        groups: dict[str, Group] = {}
        listed = self._reader.data.get("model_list")
        if not isinstance(listed, list) or not listed:
            self._reader.draft.note("there is no `model_list`: models that LiteLLM keeps in its database are not here")
            return groups
        entries = [found for at, item in enumerate(listed) if (found := self._entry(at, item, groups)) is not None]
        for entry in entries:
            if entry.asked_at is not None and entry.identity not in self._wanted.values():
                self._wanted.setdefault(entry.asked_at, entry.identity)
        for entry in entries:
            self._add(entry)
        return groups

    def _entry(self, at: int, item: Any, groups: dict[str, Group]) -> Entry | None:
        place = self._reader.place("model_list", at)
        params = self._params(item)
        name = item.get("model_name") if isinstance(item, dict) else None
        if params is None or not isinstance(name, str) or not name:
            self._reader.draft.note(f"this entry has no `model_name` or no model of its own ({place})")
            return None
        for key in sorted(map(str, item.keys() - _OF_ENTRIES)):
            self._reader.lost(("model_list", at, key))
        info = item["model_info"] if isinstance(item.get("model_info"), dict) else {}
        group = groups.setdefault(name, Group(name))
        found = self._kind(params)
        if reference(found[1] if found is not None else params["model"]) is not None:
            group.notes.append(f"left out a deployment whose model only a variable names: write its name ({place})")
            return None
        if found is None:
            prefix = str(params["model"]).partition("/")[0]
            group.notes.append(
                f"left out a deployment of {shown(prefix)}, which is not known here and has no `api_base` ({place})"
            )
            return None
        prefix, model = found
        notes: list[str] = []
        settings = account(KINDS[prefix], params, self._reader.variables, prefix, notes.append, place)
        return Entry(group, prefix, model, params, info, place, settings, notes)

    def _add(self, entry: Entry) -> None:
        provider = self._provider(entry)
        settings = self._reader.draft.providers[provider]
        if "*" in entry.model:
            self._wildcard(entry, provider, settings)
            return
        self._add_model(settings, entry)
        shares = {name: number(entry.params.get(name)) for name in SHARES}
        entry.group.members.append(Member(provider, entry.model, shares, number(entry.params.get("order"))))

    def _params(self, item: Any) -> dict[str, Any] | None:
        params = item.get("litellm_params") if isinstance(item, dict) else None
        if not isinstance(params, dict) or not isinstance(params.get("model"), str) or not params["model"]:
            return None
        outside = {name: item[name] for name in ("rpm", "tpm") if name in item}
        named = params.get("litellm_credential_name")
        shared = self._credentials.get(named, {}) if isinstance(named, str) else {}
        return {**outside, **shared, **params, **self._for_all}

    def _kind(self, params: dict[str, Any]) -> tuple[str, str] | None:
        declared = params.get("custom_llm_provider")
        found = kind_of(params["model"], declared if isinstance(declared, str) else None)
        if found is None and (params.get("api_base") or params.get("base_url")):
            return "custom_openai", params["model"]
        return found

    def _wildcard(self, entry: Entry, provider: str, settings: Noted) -> None:
        settings.setdefault("models", {})
        settings["fetch_models"] = True
        tell_of_wildcard(entry.params, entry.info, settings.note, entry.place)
        asked = entry.asked_at
        told = f"{shown(entry.group.name)} passed every model on: ask for `{provider}/<model>`"
        if asked == provider:
            told += " as before"
        elif asked in self._wanted and self._wanted[asked] != entry.identity:
            told += f", since `{asked}/<model>` is another account's: calls are not shared out between them"
        self._reader.draft.note(f"{told}, or list the models ({entry.place})")

    def _provider(self, entry: Entry) -> str:
        """The provider for this account, made when it is the first of its kind. One that passes every model on has the
        name by which clients ask for them."""
        draft, identity = self._reader.draft, entry.identity
        name = self._accounts.get(identity)
        if name is None:
            wish = entry.prefix if entry.prefix != "custom_openai" else "custom"
            known = next((wanted for wanted, owner in self._wanted.items() if owner == identity), None)
            name = known or name_for(wish.replace("_", "-"), {*draft.providers, *self._wanted})
            self._accounts[identity] = name
            draft.providers[name] = Noted(entry.settings)
            self.by_prefix.setdefault(entry.prefix, []).append(name)
        for note in entry.notes:
            draft.providers[name].note(note)
        return name

    def _add_model(self, provider: Noted, entry: Entry) -> None:
        models: dict[str, Noted] = provider.setdefault("models", {})
        name, place = plain(entry.model), entry.place
        settings = model_settings(entry.params, entry.info, provider["type"], entry.model)
        if name in models and dict(models[name]) != dict(settings):
            provider.note(
                f"{shown(entry.model)} is listed more than once with other settings: the first ones count ({place})"
            )
        found = models.setdefault(name, settings)
        tell_unknown(entry.params, entry.info, found.note, place)


def _drop_params(reader: Reader) -> dict[str, bool]:
    """What every deployment's parameters hold when LiteLLM drops for all: none of them can keep it from that."""
    found = reader.setting("drop_params")
    if found is None:
        return {}
    try:
        return {"drop_params": True} if flag(found[0]) else {}
    except ValueError:
        reader.lost(found[1], "it is neither true nor false")
        return {}
