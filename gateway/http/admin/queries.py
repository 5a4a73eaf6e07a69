"""The parameters in a request's query: those that its route has, each once. Others would be ignored, and a list that
was to be narrowed would have everything."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from gateway.http.admin.problems import Detail, Invalid
from gateway.registry.problems import did_you_mean, printable

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from starlette.datastructures import QueryParams

_MOST_DETAILS = 20
_LONGEST = 100


def parameters_of(dependant: Dependant) -> frozenset[str]:
    """What a route, and whatever it depends on, reads of a query."""
    own = {field.alias for field in dependant.query_params}
    return frozenset(own.union(*map(parameters_of, dependant.dependencies)))


def check_query(query: QueryParams, known: Collection[str]) -> None:
    """Raises Invalid for parameters that are not known, and for those that are given twice."""
    names = [name for name, _ in query.multi_items()]
    details = []
    for name in dict.fromkeys(names):
        if name not in known:
            hint = did_you_mean(name, sorted(known))
            details.append(_detail(name, f"is unknown here{hint} (remove it, or check its spelling)"))
        elif names.count(name) > 1:
            details.append(_detail(name, "is given more than once (give it once)"))
        if len(details) == _MOST_DETAILS:
            break
    if details:
        takes = f"The query takes {', '.join(sorted(known))}." if known else "The query takes nothing here."
        first = details[0]
        raise Invalid(f"{first.field}: {first.message}", field=first.field, details=details, suggestions=[takes])


def _detail(name: str, message: str) -> Detail:
    return Detail(printable(name[:_LONGEST]), message)
