"""The file and the database as one snapshot."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from gateway.registry.compiling import Context, Memory
from gateway.registry.interpolation import interpolate
from gateway.registry.resources.fragment import BadFragment, Credential, Fragment, Owner, Piece, decode, encode
from gateway.registry.resources.joining import Joined, join
from gateway.registry.resources.unlocking import Opener, stand_ins
from gateway.registry.snapshot import Snapshot
from tests.registry.resources.support import FILE, SECRET, seal, unseal

ACME = {"type": "openai", "base_url": "https://acme.example/v1"}
ENV = {"GATEWAY_CREDENTIAL_ACME": "from-the-environment", "HIDDEN": "do-not-read-me"}


def credential(name: str, value: str = SECRET, **more: Any) -> Credential:
    return Credential(f"c-{name}", name, seal(f'{{"api_key": "{value}"}}', context=f"credentials/c-{name}"), **more)


def owner(name: str, settings: dict[str, Any], *credentials: Credential, models: list[Piece] | None = None) -> Owner:
    return Owner(f"p-{name}", name, settings, models or [], list(credentials))


def rule(name: str, provider: str, model: str, **more: Any) -> Piece:
    settings = {"match": {"model": name}, "targets": [{"provider": provider, "model": model}], **more}
    return Piece(f"r-{name}", name, settings)


def read(reference: str, setting: str) -> str:
    del setting
    return ENV[reference.removeprefix("env:")]


def joined(fragment: Fragment, document: dict[str, Any] | None = None, **context: Any) -> Joined:
    return join(interpolate(document or FILE, ENV), fragment, Opener(unseal, read), Context(**context), read)


def test_the_revision_is_the_same_for_who_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shows the configuration without secrets names the revision that workers serve; another secret is another
    revision, and so is another text where a credential refers to."""
    refers = Credential("c-refers", "refers", references={"api_key": "env:GATEWAY_CREDENTIAL_ACME"})
    second = credential("second", "sk-live-of-the-second-one", fields=["api_key"])
    model = Piece("m-1", "big", {"context_window": "8k"})
    fragment = Fragment(
        3, [owner("acme", ACME, credential("main", fields=["api_key"]), second, refers, models=[model])]
    )
    base = interpolate(FILE, ENV)

    def shown(fragment: Fragment) -> str:
        return join(base, fragment, stand_ins, Context(), read).snapshot.revision

    def served(fragment: Fragment) -> str:
        return joined(fragment).snapshot.revision

    assert len(joined(fragment).snapshot.providers["acme"].api_keys) == 3
    assert shown(fragment) == served(fragment)
    assert shown(Fragment(4)) == served(Fragment(4)) != shown(fragment)
    rotated = credential("main", "sk-live-of-another-day", fields=["api_key"])
    other = Fragment(4, [owner("acme", ACME, rotated, second, refers, models=[model])])
    assert shown(other) == served(other) != shown(fragment)
    before = served(fragment)
    monkeypatch.setitem(ENV, "GATEWAY_CREDENTIAL_ACME", "another-text")
    assert shown(fragment) == served(fragment) != before


def test_one_snapshot() -> None:
    """Providers, models, rules, teams and limits of the database stand behind those of the file."""
    model = Piece("m-1", "big", {"parameters": {"temperature": 0.2}, "context_window": "8k"})
    fragment = Fragment(
        7,
        [owner("acme", ACME, credential("main"), models=[model])],
        [rule("fast", "acme", "big"), rule("mixed", "mock", "mock-small")],
        [Piece("t", "blue", {"limits": {"requests": "5/min"}})],
        [Piece("l", "all", {"scope": "global", "requests": "9/s"})],
    )
    found = joined(decode(encode(fragment)))
    snapshot = found.snapshot
    assert (found.parked, snapshot.parked, snapshot.warnings) == ((), (), ())
    assert list(snapshot.providers) == ["mock", "acme"]
    assert snapshot.providers["acme"].api_keys == (SECRET,)
    assert snapshot.deployments["acme/big"].parameters == {"temperature": 0.2}
    assert [route.name for route in snapshot.routes] == ["small", "fast", "mixed"]
    assert (list(snapshot.teams), snapshot.limits[0].name) == (["research", "blue"], "all")
    assert snapshot.resources == 7
    assert joined(Fragment(8, fragment.providers)).snapshot.revision != snapshot.revision
    assert joined(decode(encode(fragment))).snapshot.revision == snapshot.revision


def test_nothing_is_interpolated() -> None:
    """What the database says is text, whatever it looks like: no variable of the environment gets out."""
    settings = {"type": "openai_compatible", "base_url": "https://x.example/v1", "headers": {"x-note": "${HIDDEN}"}}
    found = joined(Fragment(1, [owner("x", settings)]))
    assert found.snapshot.providers["x"].headers == (("x-note", "${HIDDEN}"),)
    bad = owner("y", {"type": "openai_compatible", "base_url": "https://${HIDDEN}.example/v1"})
    assert "do-not-read-me" not in repr(joined(Fragment(1, [bad])))


def test_the_file_wins() -> None:
    """On a clash of names the file's resource is served, and a warning says so."""
    settings = {"type": "openai_compatible", "base_url": "https://evil.example/v1"}
    models = [Piece("m", "x", {})]
    found = joined(Fragment(1, [owner("mock", settings, models=models)], [rule("small", "mock", "mock-small")]))
    assert found.snapshot.providers["mock"].type == "mock"
    assert len(found.snapshot.routes) == 1
    assert [(one.kind, one.name) for one in found.parked] == [("providers", "mock"), ("routing_rules", "small")]
    assert all("that one is served" in warning for warning in found.snapshot.warnings)


def test_what_does_not_fit_is_parked() -> None:
    """A resource that the file leaves without what it needs is parked, with what hangs on it; the rest serves."""
    fragment = Fragment(
        1,
        [owner("acme", ACME, credential("main"), models=[Piece("m", "a", {}), Piece("m2", "b", {"price": "free"})])],
        [rule("gone", "left-the-file", "x"), rule("falls", "acme", "a", fallbacks={"context_window": "gone"}),
         rule("on-b", "acme", "b"), rule("good", "acme", "a")],
    )  # fmt: skip
    found = joined(fragment)
    assert {one.name for one in found.parked} == {"gone", "falls", "b", "on-b"}
    assert [route.name for route in found.snapshot.routes] == ["small", "good"]
    assert list(found.snapshot.deployments) == ["mock/mock-small", "acme/a"]
    assert "there is no provider `left-the-file`" in "\n".join(found.snapshot.parked)
    field = next(one.field for one in found.parked if one.name == "gone")
    assert field == "targets.0.provider"


def test_a_second_default() -> None:
    """The file's default route stays the default."""
    targets = [{"provider": "mock", "model": "mock-small"}]
    document = {**FILE, "routes": [{"name": "rest", "default": True, "targets": targets}]}
    found = joined(Fragment(1, routes=[Piece("r", "other", {"default": True, "targets": targets})]), document)
    assert found.snapshot.default is not None
    assert (found.snapshot.default.name, [one.name for one in found.parked]) == ("rest", ["other"])


def test_run_time_keys_in_rules() -> None:
    """A rule may be for a key that was made at run time, which no document names."""
    match = {"match": {"model": "m", "key": "made-later"}}
    found = joined(Fragment(1, routes=[rule("r", "mock", "mock-small", **match)]))
    assert (found.parked, found.snapshot.routes[1].match.key) == ((), "made-later")


def test_credentials_in_turn() -> None:
    """Several credentials are the provider's keys, by name; references are read, a rotated one is kept in reserve."""
    replaced = seal('{"api_key": "replaced"}', context="credentials/c-two")
    keys = [
        credential("one", "first"),
        credential("two", "second", previous=replaced, until=4e9),
        Credential("c-3", "three", references={"api_key": "env:GATEWAY_CREDENTIAL_ACME"}),
        credential("old", "third", previous=replaced, until=1.0),
    ]
    provider = joined(Fragment(1, [owner("acme", ACME, *keys)])).snapshot.providers["acme"]
    assert provider.api_keys == ("first", "second", "from-the-environment", "third")
    assert provider.key_names == ("one", "two", "three", "old")
    assert provider.spare_keys == ("replaced",)


def test_credentials_of_other_forms() -> None:
    """A credential may hold other settings of the provider's type, and headers."""
    secret = '{"access_key_id": "AK", "secret_access_key": "SK", "header:X-Gate": "Bearer abc"}'
    one = Credential("c", "aws", seal(secret, context="credentials/c"))
    found = joined(Fragment(1, [owner("aws", {"type": "bedrock", "region": "eu-west-1"}, one)]))
    provider = found.snapshot.providers["aws"]
    assert (provider.options["access_key_id"], provider.options["secret_access_key"]) == ("AK", "SK")
    assert provider.headers == (("x-gate", "Bearer abc"),)


def test_without_credentials() -> None:
    """A provider that needs a credential and has none is inactive, and says what it waits for."""
    found = joined(Fragment(1, [owner("acme", ACME, models=[Piece("m", "a", {})])], [rule("r", "acme", "a")]))
    assert found.parked == ()
    assert found.snapshot.providers["acme"].status == "inactive"
    assert "provider `acme` is inactive: its credential is not set" in found.snapshot.warnings


@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "bedrock"])
def test_damaged_credentials(kind: str) -> None:
    """One damaged credential says so and the others serve; without any other the provider is there and unusable."""
    settings = {"type": kind, "base_url": "https://acme.example/v1", **({"region": "eu"} if kind == "bedrock" else {})}
    damaged = Credential("c-x", "damaged", seal('{"api_key": "x"}', context="credentials/another-row"))
    found = joined(Fragment(1, [owner("acme", settings, damaged, credential("good"))]))
    provider = found.snapshot.providers["acme"]
    assert (provider.api_keys, provider.unusable, provider.status) == ((SECRET,), False, "active")
    assert "the credential damaged cannot be used: it belongs elsewhere" in found.snapshot.warnings[0]
    found = joined(Fragment(1, [owner("acme", settings, damaged, models=[Piece("m", "a", {})])]))
    provider = found.snapshot.providers["acme"]
    assert (provider.api_keys, provider.unusable, provider.status) == ((), True, "active")
    assert list(found.snapshot.deployments) == ["mock/mock-small", "acme/a"]
    assert found.parked == ()


def test_private_networks() -> None:
    """A provider of the database may reach GATEWAY_PRIVATE_NETWORKS and no other private address, whatever its type."""
    networks = (ip_network("10.1.0.0/16"),)
    settings = {"type": "vllm", "base_url": "http://10.1.0.9:8000"}
    provider = joined(Fragment(1, [owner("v", settings)]), networks=networks).snapshot.providers["v"]
    assert (provider.allow_private_network, provider.networks) == (False, networks)


def test_models_that_are_off() -> None:
    """A model that is switched off serves nobody, and rules that lead to it stay."""
    models = [Piece("m", "a", {"status": "inactive"}), Piece("m2", "b", {"status": "deprecated"})]
    found = joined(Fragment(1, [owner("acme", ACME, credential("k"), models=models)], [rule("r", "acme", "a")]))
    assert found.parked == ()
    assert list(found.snapshot.deployments) == ["mock/mock-small", "acme/b"]


def test_a_damaged_fragment() -> None:
    """What is cut short or of another format is refused as a whole."""
    whole = encode(Fragment(3, [owner("acme", ACME)]))
    for data in (b"", whole[:-1], b"[]", b'{"format": 99}', b'{"providers": 3}', b"\xff"):
        with pytest.raises(BadFragment):
            decode(data)


def test_what_stays_the_same() -> None:
    """A provider about which nothing changed is the very same object in the next snapshot, so that its tokens and
    connections' heads stay good; one whose settings, models or credentials changed is another."""
    memory = Memory()

    def compiled(*owners: Owner) -> Snapshot:
        return joined(Fragment(1, list(owners)), memory=memory).snapshot

    models = [Piece("m", "a", {})]
    still = owner("still", ACME, credential("main"), models=models)
    first = compiled(still, owner("other", ACME, credential("main")))
    second = compiled(still, owner("other", {**ACME, "timeout": 5}, credential("main")))
    assert second.providers["still"] is first.providers["still"]
    assert second.deployments["still/a"] is first.deployments["still/a"]
    assert second.providers["other"] is not first.providers["other"]
    assert second.providers["mock"] is first.providers["mock"]
    for changed in (
        owner("still", ACME, credential("main", "another-key"), models=models),
        owner("still", ACME, credential("main"), models=[Piece("m", "a", {"context_window": 5})]),
        owner("still", {**ACME, "org_id": "o"}, credential("main"), models=models),
    ):
        third = compiled(changed)
        assert third.providers["still"] is not first.providers["still"]
    replaced = seal('{"api_key": "replaced"}', context="credentials/c-main")
    spare = compiled(owner("still", ACME, credential("main", previous=replaced, until=4e9), models=models))
    assert spare.providers["still"].spare_keys == ("replaced",)
