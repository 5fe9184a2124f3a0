"""Routes by their templates: what metrics, logs and rules speak of, because a URL may name a person."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

UNMATCHED: Final = "unmatched"


def templates(app: FastAPI) -> Mapping[Any, str]:
    """The template of each endpoint, with the prefixes of all routers that it is included through.

    FastAPI leaves in the scope the route as it was written, without them.
    """
    return {
        route.endpoint: route.path_format
        for route in iter_route_contexts(app.routes)
        if route.endpoint is not None and route.path_format is not None
    }


def template(scope: Scope) -> str:
    """The template of the route that serves the request, UNMATCHED when none does."""
    known: Mapping[Any, str] = scope["app"].state.templates
    return known.get(scope.get("endpoint"), UNMATCHED)
