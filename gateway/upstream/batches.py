"""Embeddings of more inputs, and rankings of more documents, than one upstream call may carry: split, sent side
by side, merged in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import BatchingDialect, Dialect, RankingDialect
from gateway.providers.services.rerank import merged_rankings
from gateway.providers.wire.embeddings import merged
from gateway.providers.wire.jsonscan import model_spans
from gateway.types import Call, Deployment, Service, Usage

if TYPE_CHECKING:
    from gateway.upstream.progress import Answer

SIDE_BY_SIDE = 8
"""Slices of one call under way at once; the provider's own limit is kept by its connection pool."""

Send = Callable[[Call, Deployment], Awaitable["Answer"]]


class Batches:
    """How many requests a provider gets for one call of a client."""

    def __init__(self, dialects: Mapping[str, Dialect]) -> None:
        self._batchers = {name: one for name, one in dialects.items() if isinstance(one, BatchingDialect)}
        self._rankers = {name: one for name, one in dialects.items() if isinstance(one, RankingDialect)}

    def most(self, call: Call, deployment: Deployment) -> int:
        """Inputs of one request: for embeddings what the operator says, or less where the provider takes less."""
        provider = deployment.provider
        if call.service is Service.RERANK:
            ranker = self._rankers.get(provider.type)
            most = None if ranker is None else ranker.most_documents(deployment)
            return call.inputs if most is None else most
        batcher = self._batchers.get(provider.type)
        return provider.batch_size if batcher is None else min(provider.batch_size, batcher.most_inputs(deployment))

    def requests(self, call: Call, deployment: Deployment) -> int:
        """Into how many requests an attempt at this deployment is split."""
        return 1 if call.inputs <= 1 else -(-call.inputs // self.most(call, deployment))


async def send_in_batches(call: Call, deployment: Deployment, size: int, send: Send) -> Answer:
    """One answer for the whole list, asked for in calls of at most `size` inputs. The first failing slice fails the
    attempt and cancels the others."""
    calls = slices(call, size)
    gate = asyncio.Semaphore(min(SIDE_BY_SIDE, deployment.provider.concurrency_limit or SIDE_BY_SIDE))

    async def one(part: Call) -> Answer:
        async with gate:
            return await send(part, deployment)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(part)) for part in calls]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    answers = [task.result() for task in tasks]
    try:
        bodies = [answer.body or b"" for answer in answers]
        if call.service is Service.RERANK:
            body = merged_rankings(bodies, call, deployment, size)
        else:
            body = merged(bodies, [part.inputs for part in calls])
    except (msgspec.DecodeError, KeyError, TypeError):
        raise UpstreamBadResponse from None
    answer = answers[0]
    answer.body = body
    counted = [a.usage for a in answers if a.usage is not None]
    # What only some of them counted is not counted: an estimate is nearer than a part.
    whole = len(counted) == len(answers)
    tiers = {u.service_tier for u in counted}
    tier = tiers.pop() if len(tiers) == 1 else ""
    answer.usage = Usage(input_tokens=sum(u.input_tokens for u in counted), service_tier=tier) if whole else None
    return answer


def slices(call: Call, size: int) -> list[Call]:
    """The call as calls of at most `size` inputs each, in order."""
    fields = msgspec.json.decode(call.raw)
    name = "documents" if call.service is Service.RERANK else "input"
    inputs = fields[name]
    parts: list[Call] = []
    for start in range(0, len(inputs), size):
        part = {**fields, name: inputs[start : start + size]}
        raw = msgspec.json.encode(part)
        # Without a model of its own (the path named it) the body stays without one.
        span = model_spans(raw)[0] if call.model_span is not None else None
        count = len(part[name])
        tokens = call.input_tokens * count // len(inputs)
        parts.append(msgspec.structs.replace(call, raw=raw, inputs=count, input_tokens=tokens, model_span=span))
    return parts
