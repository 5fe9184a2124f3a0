"""LeanRoute and Express: the short way for the routes that every purchase and every support conversation takes.

These pay more for FastAPI's general machinery than for their own work (docs/performance.md). A LeanRoute is declared
like any other, so the document and the tests that walk the routes see no difference; it only answers `Response`
objects and asks for coroutine dependencies, parameters and the request. Its arguments are resolved along a plan that
is made once, and Express finds it before the router does.
"""

import functools
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import SecurityScopes
from starlette.types import ASGIApp, Receive, Scope, Send

_UNSUPPORTED: Final = (
    "cookie_params",
    "body_params",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
)


class LeanRoute(APIRoute):
    """See the module."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler for requests that came through the router after all."""
        return _plan(self.dependant).run


class LeanResponse(Response):
    """A whole answer of known type: what it is sent with is put together in one go."""

    def __init__(self, body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        # Of what Response prepares only this is read.
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
            *headers,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, at once where that is possible (middleware.py)."""
        whole = getattr(send, "whole", None)
        if whole is None or not whole(self.status_code, self.raw_headers, self.body):
            await super().__call__(scope, receive, send)


WHOLE: Final = "rapport.whole"
"""The ASGI extension of our own server by which head and body of an answer go out together (app/cli/protocol.py)."""


class Express:
    """Serves the lean routes itself and leaves everything else to `app`.

    Stands inside the frame (middleware.py), which turns what is raised here into problems as it does for all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            for stop in scope["app"].state.express:
                matched = stop.path.match(scope["path"]) if scope["method"] == stop.method else None
                if matched is not None:
                    scope["endpoint"], scope["path_params"] = stop.endpoint, matched.groupdict()
                    response = await stop.plan.run(Request(scope, receive, send))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def stops(app: FastAPI) -> tuple["Stop", ...]:
    """The lean routes of an application, with the prefixes of the routers that they are included through."""
    return tuple(
        Stop(method, route.path_regex, route.endpoint, _plan(route.original_route.dependant))
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, LeanRoute)
        for method in route.methods or ()
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """One method of one lean route."""

    method: str
    path: re.Pattern[str]
    endpoint: Any
    plan: "_Plan"


_NOTHING: Final = ""


@dataclass(frozen=True)
class _Plan:
    """One coroutine function and how to come by each of its arguments."""

    call: Callable[..., Coroutine[Any, Any, Any]]
    request_name: str | None
    constants: dict[str, Any]
    needs: tuple[tuple[str, "_Plan"], ...]
    path: list[Any]
    query: list[Any]
    headers: list[Any]
    header_names: frozenset[bytes]
    query_defaults: dict[str, Any]
    header_defaults: dict[str, Any]

    @functools.cached_property
    def shortcut(self) -> str | None:
        """The name under which the call takes the request when it takes nothing else; _NOTHING when not even that."""
        if self.constants or self.needs or self.path or self.query or self.headers:
            return None
        return _NOTHING if self.request_name is None else self.request_name

    @functools.cached_property
    def plain_path(self) -> tuple[str, ...]:
        """The parameters of the path when all of them are texts as they come, so that nothing validates them."""
        plain = all(each.field_info.annotation is str and not each.field_info.metadata for each in self.path)
        return tuple(each.alias for each in self.path) if plain else ()

    async def run(self, request: Request) -> Any:
        arguments = dict(self.constants)
        if self.request_name is not None:
            arguments[self.request_name] = request
        for name, need in self.needs:
            # Most needs are asked for nothing but the request; walking a plan for them costs more than they do.
            if need.shortcut is _NOTHING:
                arguments[name] = await need.call()
            elif need.shortcut is not None:
                arguments[name] = await need.call(**{need.shortcut: request})
            else:
                arguments[name] = await need.run(request)
        if self.plain_path:
            for name in self.plain_path:
                arguments[name] = request.scope["path_params"][name]
        elif self.path:
            arguments |= _read(self.path, request.path_params)
        if self.query:
            asked = request.scope["query_string"]
            arguments |= _read(self.query, request.query_params) if asked else self.query_defaults
        if self.headers:
            sent = not self.header_names.isdisjoint([name for name, _ in request.scope["headers"]])
            arguments |= _read(self.headers, request.headers) if sent else self.header_defaults
        return await self.call(**arguments)


def _read(fields: list[Any], received: Any) -> dict[str, Any]:
    values, errors = request_params_to_args(fields, received)
    if errors:
        raise RequestValidationError(errors)
    return values


def _plan(dependant: Dependant) -> _Plan:
    """Raises TypeError, when the application is made, for a route that asks for what a plan cannot give."""
    unsupported = [name for name in _UNSUPPORTED if getattr(dependant, name)]
    optional = [*dependant.query_params, *dependant.header_params]
    if unsupported or dependant.call is None or any(each.field_info.is_required() for each in optional):
        raise TypeError(f"a lean route cannot ask for {unsupported or 'required queries and headers'}")
    constants = {}
    if dependant.security_scopes_param_name is not None:
        scopes = [*(dependant.parent_oauth_scopes or []), *(dependant.own_oauth_scopes or [])]
        constants[dependant.security_scopes_param_name] = SecurityScopes(list(dict.fromkeys(scopes)))
    return _Plan(
        dependant.call,
        dependant.request_param_name,
        constants,
        tuple((str(each.name), _plan(each)) for each in dependant.dependencies),
        dependant.path_params,
        dependant.query_params,
        dependant.header_params,
        frozenset(each.alias.lower().encode() for each in dependant.header_params),
        {each.name: each.get_default() for each in dependant.query_params},
        {each.name: each.get_default() for each in dependant.header_params},
    )
