"""How far a call has come on its way through deployments, and who admits and books its attempts."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol

import msgspec

from gateway.ports import Ticket
from gateway.types import Deployment, Headers, Usage
from gateway.upstream.relay import Relay
from gateway.upstream.retry import Failure
from gateway.upstream.turns import Turn


class Answer(msgspec.Struct, eq=False):
    """What a committed attempt gives the client: a whole body, or a relay."""

    deployment: Deployment
    content_type: bytes
    body: bytes | None = None
    relay: Relay | None = None
    usage: Usage | None = None
    headers: Headers = ()
    headroom: float | None = None
    """The share that the provider's rate limits leave, where it says so."""


class Progress(msgspec.Struct, eq=False):
    """How far one call has come; its owner reads it whatever happens."""

    attempts: int = 0
    """How many were begun."""
    number: int = 0
    """Which of them this tells of: the latest, or the one that answered."""
    requests: int = 1
    """How many requests that one has sent: an attempt may be split."""
    outrun: bool = False
    """Another attempt of the same call answered first."""
    waited: float = 0.0
    """Seconds spent waiting for providers and in backoff."""
    deployment: Deployment | None = None
    """The one tried last."""
    began: float = 0.0
    failures: list[Failure] = []
    full_for: float | None = None
    """Seconds until the first of the deployments that were full takes calls again."""
    busy: bool = False
    """One of them was full because of how many calls it serves at once."""
    turn: Turn | None = None
    """Its place in the line, while it waits."""
    sent: bool = False
    """A request went out and its fate is open: a provider may charge for it."""
    ticket: Ticket | None = None
    """Of the attempt that committed."""
    orphan: asyncio.Future[Answer] | None = None
    """An attempt whose client has left before its answer began, and that may be read on."""
    deadline: float = inf
    """Monotonic seconds: nothing of this call goes on after it."""
    patience: float = inf
    """Monotonic seconds at which the client itself gives up unless the answer has begun."""
    media: dict[str, tuple[str, str]] = {}
    """What was fetched of the URLs in the request: media type and base64."""


class Attempts(Protocol):
    """Who admits and books the attempts of one call."""

    def limited(self, deployment: Deployment) -> bool:
        """Whether the next attempt has to be asked for."""
        ...

    async def begin(self, deployment: Deployment) -> None:
        """Raises DeploymentsFull when this deployment takes no more at the moment."""
        ...

    def bound(self, deployment: Deployment) -> bool:
        """Whether this deployment has limits of its own."""
        ...

    def failed(self, failure: Failure, seconds: float, number: int) -> None:
        """This attempt is over, without an answer."""
        ...


class Unbooked:
    """Attempts that nobody limits or books."""

    def limited(self, deployment: Deployment) -> bool:
        """No."""
        del deployment
        return False

    async def begin(self, deployment: Deployment) -> None:
        """Never called."""

    def bound(self, deployment: Deployment) -> bool:
        """No."""
        del deployment
        return False

    def failed(self, failure: Failure, seconds: float, number: int) -> None:
        """Nothing."""


UNBOOKED = Unbooked()
