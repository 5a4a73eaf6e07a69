"""Routes that each say who may use them: there is no way to declare one without, and a check that nobody found one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from gateway.auth.admins import Open, Policy, Role
from gateway.http.admin.access import admit
from gateway.http.admin.once import HEADER, once
from gateway.http.admin.queries import check_query, parameters_of
from gateway.http.admin.reading import StrictRequest
from gateway.http.admin.shapes import ErrorBody

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])

ROLE = "x-role"
"""The word of a route in the contract that names the least role it takes."""
_EVERYWHERE = (400, 401, 403, 422, 429, 500, 503)
_WITH_BODY = (413, 415)
_DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "No credential, or none we know.",
    403: "This caller may not do this.",
    404: "There is no such resource.",
    409: "It stands against what is there.",
    412: "`If-Match` names another version.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "Fields, or parameters of the query, are missing, unknown or wrong.",
    429: "Too many requests.",
    500: "A fault of the gateway.",
    502: "The provider did not do what was asked of it.",
    503: "Something that this needs does not answer.",
}


class AdmittedRoute(APIRoute):
    """Looks at the caller before it looks at the query and the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind our authentication."""
        handle = super().get_route_handler()
        policy, parameters = policy_of(self), parameters_of(self.dependant)

        async def admitted(request: Request) -> Response:
            await admit(request, policy)
            check_query(request.query_params, parameters)
            strict = StrictRequest(request.scope, request.receive)
            await strict.body()  # kept for the parser; what is wrong with its arrival is told as what it is
            if request.method != "POST" or HEADER not in request.headers or policy is Open.PUBLIC:
                return await handle(strict)
            services = request.app.state.services
            return await once(services, request.state.actor, strict, lambda: handle(strict))

        return admitted


class Routes:
    """The routes of one noun."""

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(tags=[tag], route_class=AdmittedRoute)

    def get(
        self, *paths: str, policy: Policy, answers: Sequence[int] = (), **more: Any
    ) -> Callable[[_Endpoint], _Endpoint]:
        """Reads."""
        return self._declare("GET", paths, policy, answers, more)

    def post(
        self, *paths: str, policy: Policy, answers: Sequence[int] = (), **more: Any
    ) -> Callable[[_Endpoint], _Endpoint]:
        """Creates, or does."""
        return self._declare("POST", paths, policy, (409, *answers, *_WITH_BODY), more)

    def put(
        self, *paths: str, policy: Policy, answers: Sequence[int] = (), **more: Any
    ) -> Callable[[_Endpoint], _Endpoint]:
        """Replaces."""
        return self._declare("PUT", paths, policy, (*answers, *_WITH_BODY), more)

    def patch(
        self, *paths: str, policy: Policy, answers: Sequence[int] = (), **more: Any
    ) -> Callable[[_Endpoint], _Endpoint]:
        """Changes what is named."""
        return self._declare("PATCH", paths, policy, (*answers, *_WITH_BODY), more)

    def delete(
        self, *paths: str, policy: Policy, answers: Sequence[int] = (), **more: Any
    ) -> Callable[[_Endpoint], _Endpoint]:
        """Ends."""
        return self._declare("DELETE", paths, policy, (*answers, *_WITH_BODY), more)

    def _declare(
        self, method: str, paths: Sequence[str], policy: Policy, answers: Sequence[int], more: dict[str, Any]
    ) -> Callable[[_Endpoint], _Endpoint]:
        """One route for each path; the first is the proper one, the others are other names for it."""
        also = more.pop("responses", {})

        def decorate(endpoint: _Endpoint) -> _Endpoint:
            for number, path in enumerate(paths):
                self.router.add_api_route(
                    path,
                    endpoint,
                    methods=[method],
                    operation_id=endpoint.__name__ + (f"_{number + 1}" if number else ""),
                    responses=documented(answers) | also,
                    openapi_extra={ROLE: policy.value},
                    **more,
                )
            return endpoint

        return decorate


def documented(answers: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """What the contract says of refusals."""
    return {
        status: {"model": ErrorBody, "description": _DESCRIPTIONS[status]}
        for status in sorted({*_EVERYWHERE, *answers})
    }


def policy_of(route: APIRoute) -> Policy:
    """The least role that a route takes. Raises RuntimeError for a route that does not say."""
    declared = (route.openapi_extra or {}).get(ROLE)
    if declared is None:
        raise RuntimeError(f"the route {route.path} declares no policy")
    return Open.PUBLIC if declared == Open.PUBLIC else Role(declared)


def check_policies(app: FastAPI) -> None:
    """Raises RuntimeError unless every route of the application declares its policy."""
    for route in app.routes:
        if not isinstance(route, APIRoute):
            raise RuntimeError(f"the route {route!r} declares no policy")
        policy_of(route)
