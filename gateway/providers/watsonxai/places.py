"""Where things are: paths with their version, the project or space that pays, and IBM's identity service."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway.errors import ProviderAuthFailed
from gateway.ports import TokenRequest
from gateway.providers.wire.tokens import form_request
from gateway.types import Call, Deployment, Provider, Service

VERSION = "2025-04-23"
"""The date of the API's version that these translations are for."""
IAM = "https://iam.cloud.ibm.com"
DEPLOYED = "deployments/"
"""What the names of a customer's own deployments begin with."""
_IDENTITY = "/identity/token"
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"
_SERVICES = {Service.CHAT: "chat", Service.EMBEDDINGS: "embeddings", Service.RERANK: "rerank"}


def versioned(provider: Provider, path: str) -> str:
    """A path with the version that every call needs."""
    mark = "&" if "?" in path else "?"
    return f"{path}{mark}version={quote(str(provider.options.get('version') or VERSION))}"


def path_of(call: Call, deployment: Deployment) -> str:
    """Chats are in two places: with and without a stream, of models and of deployments."""
    work = _SERVICES[call.service] + ("_stream" if call.stream and call.service is Service.CHAT else "")
    model = deployment.model
    own = DEPLOYED + quote(model.removeprefix(DEPLOYED), safe="") + "/" if model.startswith(DEPLOYED) else ""
    return versioned(deployment.provider, f"/ml/v1/{own}text/{work}")


def payer(deployment: Deployment) -> dict[str, Any]:
    """The model, and the project or space that it is charged to; a deployment has both already."""
    if deployment.model.startswith(DEPLOYED):
        return {}
    options = deployment.provider.options
    name = "project_id" if options.get("project_id") else "space_id"
    return {"model_id": deployment.model, name: options.get(name)}


def token_request_of(provider: Provider) -> TokenRequest:
    """The first key in exchange for a token. Raises ProviderAuthFailed where there is none."""
    if not provider.api_keys:
        raise ProviderAuthFailed
    url = str(provider.options.get("iam_url") or IAM).rstrip("/").removesuffix(_IDENTITY) + _IDENTITY
    return form_request(url, {"grant_type": _GRANT, "apikey": provider.api_keys[0]}, provider)
