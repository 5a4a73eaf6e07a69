"""A provider looked at step by step, as somebody who set it up wants to know: which step fails, and what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError, UpstreamTimeout
from gateway.ports import Dialect, Endpoint, ListsModels, LocalDialect
from gateway.types import Deployment, Provider
from gateway.upstream.addresses import Resolver, checked, first_to_answer
from gateway.upstream.asking import Asker
from gateway.upstream.engines.failures import connect_failure
from gateway.upstream.engines.tls import ssl_context
from gateway.upstream.lookups import resolve

STEP_SECONDS = 15.0
STEPS = ("configuration", "resolve", "connect", "tls", "authenticate", "list_models", "call")
_REACHING = frozenset({"resolve", "connect", "tls"})
OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `message` says what was found, `advice` what to do about it."""

    name: str
    status: str
    """`ok`, `failed` or `skipped`."""
    seconds: float
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """Every step, in order; after one that fails the others are skipped."""

    steps: tuple[Step, ...]
    models: tuple[str, ...] | None = None
    """What the provider lists; None: it was not asked, or has no such list."""

    @property
    def failed(self) -> Step | None:
        """The step that failed."""
        return next((step for step in self.steps if step.status == FAILED), None)

    @property
    def ok(self) -> bool:
        """No step failed."""
        return self.failed is None


class Examiner:
    """Examines providers through the same guards and engines as calls go. Keeps nothing. `patience` is how many seconds
    a step may take."""

    def __init__(
        self,
        asker: Asker,
        dialects: Mapping[str, Dialect],
        resolver: Resolver = resolve,
        patience: float = STEP_SECONDS,
    ) -> None:
        self.asker = asker
        self._dialects = dialects
        self.resolver = resolver
        self.patience = patience

    async def examine(self, provider: Provider, call: Deployment | None = None, path: str | None = None) -> Checkup:
        """Every step that makes sense for it; with `call`, one small call of that deployment, which may cost money;
        `path` is asked in place of the list of models."""
        run = _Run(self, provider, call, path)
        await run.all()
        return Checkup(tuple(run.steps), run.models)

    def endpoint(self, provider: Provider) -> Endpoint | None:
        """Where its list is asked for; None: it is asked for nothing, or is in this process."""
        dialect: object = self._dialects.get(provider.type)
        if isinstance(dialect, LocalDialect) or provider.type == "mock" or not isinstance(dialect, ListsModels):
            return None
        return dialect.models_head(provider, "credential").endpoint


class _Run:
    """One examination."""

    def __init__(self, examiner: Examiner, provider: Provider, call: Deployment | None, path: str | None) -> None:
        self._examiner = examiner
        self._provider = provider
        self._call = call
        self._path = path
        self._addresses: list[str] = []
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._failed = False
        self.steps: list[Step] = []
        self.models: tuple[str, ...] | None = None

    async def all(self) -> None:
        """Every step, until one fails."""
        provider = self._provider
        await self._do("configuration", self._configured)
        endpoint = self._examiner.endpoint(provider) if not self._failed else None
        try:
            for name, step in (("resolve", self._resolve), ("connect", self._connect), ("tls", self._tls)):
                if endpoint is None or endpoint.path is not None:
                    self._skip(name, "it is reached without the network" if not self._failed else "")
                elif name == "tls" and not endpoint.tls:
                    self._skip(name, "the address is plain HTTP")
                else:
                    await self._do(name, _bound(step, endpoint))
        finally:
            self._hang_up()
        await self._ask()
        if self._call is None:
            self._skip("call", "it was not asked for")
        else:
            await self._do("call", self._small_call)

    async def _ask(self) -> None:
        """The list of models tells whether the credential opens anything."""
        asker = self._examiner.asker
        if self._path is not None:
            await self._do("authenticate", self._at_path)
            self._skip("list_models", "the provider's test endpoint was asked instead")
        elif not asker.lists(self._provider):
            self._skip("authenticate", "this type of provider has no list to ask for: a call tells")
            self._skip("list_models", "this type of provider has none")
        else:
            await self._do("authenticate", self._list)
            if self.models is None:
                self._skip("list_models", "the provider has no such list")
            else:
                names = self.models
                message = f"{len(names)} models" if names else "the list is empty"
                self.steps.append(Step("list_models", OK, 0.0, message))

    async def _do(self, name: str, step: Callable[[], Awaitable[str]]) -> None:
        if self._failed:
            self._skip(name, "")
            return
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._examiner.patience):
                message = await step()
        except GatewayError as error:
            self._fail(name, began, error)
        except TimeoutError as error:  # somebody answers where a connection was made
            self._fail(name, began, connect_failure(error) if name in _REACHING else UpstreamTimeout())
        except (OSError, UnicodeError) as error:
            self._fail(name, began, connect_failure(error))
        except _Unfit as unfit:
            self._failed = True
            self.steps.append(Step(name, FAILED, time.monotonic() - began, str(unfit), unfit.advice))
        else:
            self.steps.append(Step(name, OK, time.monotonic() - began, message))

    def _fail(self, name: str, began: float, error: GatewayError) -> None:
        self._failed = True
        outcome = str(getattr(error, "outcome", "4xx"))
        advice = _ADVICE.get(outcome, "Look at the provider's own status page and documents.")
        self.steps.append(
            Step(name, FAILED, time.monotonic() - began, f"{outcome}: {_WORDS.get(outcome, 'it failed')}", advice)
        )

    def _skip(self, name: str, why: str) -> None:
        message = why if why and not self._failed else "a step before it failed" if self._failed else why
        self.steps.append(Step(name, SKIPPED, 0.0, message))

    # ---- the steps

    async def _configured(self) -> str:
        provider = self._provider
        if provider.status == "inactive":
            raise _Unfit("the provider is inactive", "Set its status, or store the credential that its type needs.")
        if provider.unusable:
            raise _Unfit("none of its credentials can be read", "Store its credential again, or check ENCRYPTION_KEY.")
        return f"type {provider.type}, {len(provider.api_keys)} keys"

    async def _resolve(self, endpoint: Endpoint) -> str:
        self._addresses = list(await checked(endpoint, self._examiner.resolver))
        return f"{len(self._addresses)} addresses, all permitted"

    async def _connect(self, endpoint: Endpoint) -> str:
        async def connect(address: str, _: Callable[[], None]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(address, endpoint.port)

        async with asyncio.timeout(self._provider.timeouts.connect):
            self._stream = await first_to_answer(self._addresses, connect, lambda stream: stream[1].transport.abort())
        return f"port {endpoint.port} answers"

    async def _tls(self, endpoint: Endpoint) -> str:
        assert self._stream is not None
        writer = self._stream[1]
        async with asyncio.timeout(self._provider.timeouts.connect):
            await writer.start_tls(ssl_context(endpoint.ca_file), server_hostname=endpoint.host)
        found: Any = writer.get_extra_info("ssl_object")
        return f"{found.version()}, the certificate is valid" if found is not None else "the certificate is valid"

    async def _list(self) -> str:
        self.models = await self._examiner.asker.models(self._provider)
        return "the provider answers"

    async def _at_path(self) -> str:
        assert self._path is not None
        try:
            await self._examiner.asker.get(self._provider, self._path)
        except LookupError:
            raise _Unfit("a provider of this type has no test endpoint", "remove test_endpoint") from None
        return "the provider's test endpoint answers"

    async def _small_call(self) -> str:
        assert self._call is not None
        await self._examiner.asker.call(self._call)
        return f"{self._call.model} answers"

    def _hang_up(self) -> None:
        if self._stream is not None:
            with suppress(OSError):
                self._stream[1].transport.abort()


class _Unfit(Exception):
    """Nothing has to be asked to know that it does not work."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def _bound(step: Callable[[Endpoint], Awaitable[str]], endpoint: Endpoint) -> Callable[[], Awaitable[str]]:
    return lambda: step(endpoint)


_WORDS = {
    "connect_refused": "nobody listens there",
    "dns": "the name does not resolve",
    "address_forbidden": "the address is one that the gateway may not connect to",
    "connect_timeout": "nobody answers",
    "no_sockets": "the gateway may open no more files or connections",
    "tls": "the certificate cannot be trusted, or TLS is not spoken there",
    "provider_auth": "the provider does not accept the credential",
    "429": "the provider limits us, or its quota is used up",
    "redirect": "the provider sends us elsewhere",
    "bad_response": "what came back is not what this type of provider answers",
    "bad_json": "what came back is no JSON",
    "4xx": "the provider refuses the request",
    "5xx": "the provider fails",
    "ttfb_timeout": "the provider does not answer in time",
    "408": "the provider does not answer in time",
    "stall": "the provider's answer stops half way",
    "disconnected": "the provider closes the connection before it answers",
    "truncated": "the provider's answer breaks off",
    "empty": "the provider's answer is empty",
    "too_large": "the provider's answer is larger than a list of models can be",
}
_ADVICE = {
    "connect_refused": "Check host and port of base_url, and that the provider runs.",
    "dns": "Check the host in base_url for typing errors, and the gateway's DNS.",
    "address_forbidden": "Use a public address; private ones are allowed by GATEWAY_PRIVATE_NETWORKS or in the file.",
    "connect_timeout": "Check firewalls between the gateway and the provider.",
    "no_sockets": "Raise the limit of open files (ulimit -n, LimitNOFILE).",
    "tls": "Check that base_url says https and names the host of the certificate.",
    "provider_auth": "Store a valid credential, and check that the account may use this API.",
    "429": "Wait, or raise the account's limits at the provider.",
    "redirect": "Put the address that it sends us to into base_url.",
    "bad_response": "Check the type, and that base_url holds the version segment (such as /v1).",
    "bad_json": "Check the type, and that base_url holds the version segment (such as /v1).",
    "4xx": "Check base_url, the model's name and the account's rights.",
    "5xx": "Try again later.",
    "ttfb_timeout": "Try again, or raise the provider's timeout.",
    "empty": "Check the type, and that base_url holds the version segment (such as /v1).",
    "too_large": "Check the type, and that base_url holds the version segment (such as /v1).",
}
