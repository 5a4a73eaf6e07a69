"""Servers of OpenAI's API whose rerank may be another's: the setting `rerank` says whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.ports import DecodedReply, RequestHead
from gateway.providers.wire import tei
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Body, Call, Deployment, Headers, Service


class CompatibleDialect(OpenAIDialect):
    """See `OpenAIDialect`. Implements `gateway.ports.RankingDialect`."""

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `gateway.ports.Dialect`."""
        head = super().head(call, deployment, credential)
        if _by_tei(call, deployment):
            # Its root has it; what OpenAI's clients call is below a version.
            return replace(head, target=head.target.replace(b"/v1/rerank", b"/rerank"))
        return head

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        if _by_tei(call, deployment):
            return (tei.body_of(call, deployment),)
        return super().body(call, deployment)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        if _by_tei(call, deployment):
            return tei.read(body, call, deployment)
        return super().decode(call, deployment, headers, body)

    def most_documents(self, deployment: Deployment) -> int | None:
        """See `gateway.ports.RankingDialect`."""
        return tei.MOST_DOCUMENTS if _is_tei(deployment) else None


def _by_tei(call: Call, deployment: Deployment) -> bool:
    return call.service is Service.RERANK and _is_tei(deployment)


def _is_tei(deployment: Deployment) -> bool:
    return deployment.provider.options.get("rerank") == "tei"
