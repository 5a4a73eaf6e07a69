"""Every dialect is found, complete and configurable; other distributions can add theirs, and clashes are told apart."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import OperatorError, UpstreamError
from gateway.ports import Dialect
from gateway.providers import discover
from gateway.registry.catalogue import TYPES, provider_type
from gateway.types import Call, Deployment, Provider, Service

BUILT_IN = sorted(discover())


def call(service: Service, path: str, *, stream: bool = False) -> Call:
    asks = b'"messages":[{"role":"user","content":"x"}]' if service is Service.CHAT else b'"input":"x"'
    raw = b'{"model":"asked",' + asks + b"}"
    return Call("c", "r", service, path, "asked", raw, 0.0, stream=stream, model_span=(9, 16))


def test_names_are_those_of_the_catalogue() -> None:
    """Every dialect's name is a type the configuration knows, and it is found under that name."""
    found = discover()
    assert {"openai", "openai_compatible", "mock", "mistral", "groq", "ollama", "vllm"} <= set(found)
    assert set(found) <= set(TYPES)
    assert all(dialect.name == name for name, dialect in found.items())
    assert len({id(dialect) for dialect in found.values()}) == len(found)


def test_discovery_is_repeatable() -> None:
    """Looking twice finds the same objects."""
    assert dict(discover()) == dict(discover())


@pytest.mark.parametrize("name", BUILT_IN)
def test_satisfies_the_protocol(name: str) -> None:
    """A dialect makes heads, bodies, decoders and errors for each of its services, with the deployment's model name."""
    dialect: Dialect = discover()[name]
    provider = Provider("p", name, "https://provider.invalid:8443/base/v1", ("k",), {}, (("X-Extra", "1"),))
    deployment = Deployment("p/theirs", provider, "theirs")
    assert dialect.services
    assert dialect.services <= set(Service)
    head = dialect.head(call(Service.CHAT, "/chat/completions"), deployment, "secret-key")
    names = [key for key, _ in head.headers]
    assert head.method == b"POST"
    assert (head.endpoint.host, head.endpoint.port, head.endpoint.tls) == ("provider.invalid", 8443, True)
    assert b"host" in names
    assert not {b"content-length", b"transfer-encoding", b"connection"} & set(names)
    assert len(names) == len(set(names))
    assert all(key == key.lower() for key in names)
    assert any(b"secret-key" in value for _, value in head.headers)
    assert (b"x-extra", b"1") in head.headers
    for service in dialect.services & {Service.CHAT, Service.EMBEDDINGS}:
        parts = dialect.body(call(service, "/x"), deployment)
        target = dialect.head(call(service, "/x"), deployment, "secret-key").target
        assert b'"theirs"' in b"".join(parts) or b"/theirs" in target  # type: ignore[arg-type]
    decoder = dialect.stream(call(Service.CHAT, "/chat/completions", stream=True), deployment)
    decoder.end()
    assert isinstance(decoder.failure, UpstreamError)
    for status in (400, 401, 429, 500, 503):
        assert isinstance(dialect.error(status, [], b""), UpstreamError)


def test_no_key_no_credential() -> None:
    """Without a key no authorization header is sent."""
    provider = Provider("p", "openai_compatible", "http://127.0.0.1:1/v1")
    head = discover()["openai_compatible"].head(call(Service.CHAT, "/x"), Deployment("p/m", provider, "m"), None)
    assert b"authorization" not in dict(head.headers)


# ---- other distributions ---------------------------------------------------------------------------------------------

Install = Callable[..., None]
MODULE = "from gateway.providers.wire.openai import OpenAIDialect\n{attribute} = OpenAIDialect({name!r})\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution that names one provider type on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def put(name: str, target: str, source: str, distribution: str = "acme") -> None:
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gateway.providers]\n{name} = {target}\n")
        (tmp_path / f"{target.partition(':')[0]}.py").write_text(source)
        importlib.invalidate_caches()

    yield put
    for module in set(sys.modules) - before:
        del sys.modules[module]


@pytest.mark.parametrize(("target", "attribute"), [("acme_gateway", "DIALECT"), ("acme_gateway:OURS", "OURS")])
def test_external_package(install: Install, target: str, attribute: str) -> None:
    """An installed package adds its type, named by module or module and object, configured like a compatible one."""
    install("acme", target, MODULE.format(attribute=attribute, name="acme"))
    found = discover()
    assert found["acme"].name == "acme"
    kind = provider_type("acme", frozenset(found))
    assert kind is not None
    assert kind.base_url is None


def test_external_package_clashes_with_ours(install: Install) -> None:
    """A package that defines a type of ours again is an operator's error that names the type."""
    install("openai", "acme_gateway", MODULE.format(attribute="DIALECT", name="openai"))
    with pytest.raises(OperatorError, match="`openai` is defined twice"):
        discover()


def test_two_external_packages_clash(install: Install) -> None:
    """Two packages with one name are an operator's error too."""
    install("acme", "acme_one", MODULE.format(attribute="DIALECT", name="acme"), "one")
    install("acme", "acme_two", MODULE.format(attribute="DIALECT", name="acme"), "two")
    with pytest.raises(OperatorError, match="`acme` is defined twice"):
        discover()


@pytest.mark.parametrize("source", ["", "import nowhere_to_be_found\n", "DIALECT = (\n", "1 / 0\n"])
def test_external_package_that_does_not_load(install: Install, source: str) -> None:
    """A package without its dialect, or one that fails to import in any way, is an operator's error that names it."""
    install("acme", "acme_gateway", source)
    with pytest.raises(OperatorError, match="`acme` cannot be loaded from `acme_gateway`"):
        discover()
