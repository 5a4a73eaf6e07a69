"""Tests of providers and models, and which models a provider lists."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from gateway.auth.admins import Role
from gateway.http.admin.model_shapes import ModelShown
from gateway.http.admin.models import presented
from gateway.http.admin.moments import iso
from gateway.http.admin.problems import Clash, Named
from gateway.http.admin.provider_shapes import TestResult
from gateway.http.admin.resource_service import ResourceService, ServiceDep
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Given, Shown
from gateway.registry.resources.operations import Create
from gateway.registry.resources.records import Kind, Resource
from gateway.types import Deployment, Provider
from gateway.upstream.checkup import Checkup

routes = Routes("providers")

_MOST = 1000


class TestWish(Given):
    """What to test."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"call": True, "model": "gpt-4o-mini"}]})

    call: bool = Field(default=False, description="Make one small call, too; that may cost money.")
    model: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="The model to call; omitted: the provider's first."
    )


class StepShown(Shown):
    """One step of a test."""

    name: Literal["configuration", "resolve", "connect", "tls", "authenticate", "list_models", "call"]
    status: Literal["ok", "failed", "skipped"]
    duration_ms: float
    message: str
    advice: str


class TestShown(TestResult):
    """What a test found, step by step."""

    provider: str
    steps: list[StepShown]
    models: list[str] | None = Field(description="What the provider lists; null: it was not asked, or has no list.")


class DiscoveryWish(Given):
    """What to do with the models that the provider lists."""

    create: bool = Field(default=False, description="Create those that are not there yet.")
    only: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=_MOST)] | None = Field(
        None, description="Of these alone."
    )


class Discovered(Shown):
    """What the provider lists."""

    models: list[str]
    known: list[str] = Field(description="Those that are there already.")
    created: list[ModelShown]


@routes.post(
    "/providers/{provider}/test",
    "/providers/{provider}/health-check",
    policy=Role.OPERATOR,
    answers=(404, 409),
    summary="Test a provider",
)
async def run_provider_test(provider: str, wish: TestWish, service: ServiceDep) -> TestShown:
    """Resolve, connect, TLS, authenticate, list models, and one small call if asked: each with its time, what was found
    and what to do. The result is kept with the provider."""
    found = await service.find(Kind.PROVIDER, provider)
    owner = await _in_service(service, found)
    deployment = await _deployment(service, owner, wish.model) if wish.call else None
    config = found.details.get("auth_config") or {}
    checkup = await service.services.examiner.examine(owner, deployment, config.get("test_endpoint"))
    result = _shown(found.name, checkup)
    await service.observe(found, {"test": _kept(result)})
    return result


@routes.post("/models/{model}/test", policy=Role.OPERATOR, answers=(404, 409), summary="Test a model")
async def run_model_test(model: str, service: ServiceDep) -> TestShown:
    """As its provider, with one small call of this model: that may cost money."""
    found = await service.find(Kind.MODEL, model)
    names = await service.names_of_providers()
    owner_name = names.get(found.provider_id or "", "")
    owner = await _in_service(service, await service.find(Kind.PROVIDER, found.provider_id or ""))
    deployment = await _deployment(service, owner, found.name)
    result = _shown(owner_name, await service.services.examiner.examine(owner, deployment))
    await service.observe(found, {"test": _kept(result)})
    return result


@routes.post(
    "/providers/{provider}/models/discover", policy=Role.OPERATOR, answers=(404, 409, 502), summary="Discover models"
)
async def discover_models(provider: str, wish: DiscoveryWish, service: ServiceDep) -> Discovered:
    """Ask the provider for its models now. Those that it lists can be created at once."""
    found = await service.find(Kind.PROVIDER, provider)
    checkup = await service.services.examiner.examine(await _in_service(service, found))
    if checkup.failed is not None:
        step = checkup.failed
        raise Named(
            502, "provider_failed", f"The step `{step.name}` failed: {step.message}.", suggestions=[step.advice]
        )
    only = None if wish.only is None else set(wish.only)
    listed = [name for name in checkup.models or () if only is None or name in only]
    state = await service.services.resources.state()
    known = {one.name for one in state.within(found.id) if one.kind is Kind.MODEL}
    fresh = [name for name in listed if name not in known][:_MOST]
    if not wish.create or not fresh:
        return Discovered(models=listed, known=sorted(known & set(listed)), created=[])
    service.refuse_filed(found)
    done = await service.change(*(Create(Kind.MODEL, name, provider=found.id) for name in fresh))
    made = [change.resource for change in done.changes if change.kind is Kind.MODEL]
    return Discovered(models=listed, known=sorted(known & set(listed)), created=await presented(service, made))


async def _in_service(service: ResourceService, found: Resource) -> Provider:
    """The provider with its credentials, as workers have it. Raises Clash for one that they have not."""
    snapshot = await service.services.opened()
    owner = snapshot.providers.get(found.name)
    if owner is None:
        problem = service.problems().get(found.id, "it does not fit the configuration file")
        raise Clash(f"This provider is not served: {problem}", suggestions=["Mend that first."])
    return owner


async def _deployment(service: ResourceService, owner: Provider, model: str | None) -> Deployment:
    """What to call. Raises Clash for a provider without models."""
    snapshot = await service.services.opened()
    if model is not None:
        return snapshot.deployment_for(owner.name, model) or Deployment(f"{owner.name}/{model}", owner, model)
    first = next((one for one in snapshot.deployments.values() if one.provider.name == owner.name), None)
    if first is None:
        raise Clash("This provider has no model to call.", field="model", suggestions=["Name one, or create it."])
    return first


def _shown(provider: str, checkup: Checkup) -> TestShown:
    failed = checkup.failed
    return TestShown(
        provider=provider,
        ok=checkup.ok,
        at=iso(time.time()) or "",
        failed_step=None if failed is None else failed.name,
        message="everything works" if failed is None else f"{failed.message}. {failed.advice}",
        duration_ms=round(sum(step.seconds for step in checkup.steps) * 1000, 3),
        steps=[
            StepShown.model_validate(
                {
                    "name": step.name,
                    "status": step.status,
                    "duration_ms": round(step.seconds * 1000, 3),
                    "message": step.message,
                    "advice": step.advice,
                }
            )
            for step in checkup.steps
        ],
        models=None if checkup.models is None else list(checkup.models),
    )


def _kept(result: TestShown) -> dict[str, object]:
    """What is kept of it."""
    return TestResult.model_validate(result.model_dump()).model_dump()
