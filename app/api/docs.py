"""The documentation pages, from files that we ship: no page asks another host for anything, and the CSP holds it."""

import functools
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from app.api.openapi import TITLE
from app.domain.problems import NotFound

router = APIRouter(include_in_schema=False)

# The package is used for these files alone.
_STATIC = Path(str(files("fastapi_offline"))) / "static"
_REDOC = "redoc.standalone.js"
_FILES: Final = frozenset(("favicon.png", _REDOC, "swagger-ui-bundle.js", "swagger-ui.css"))
_A_DAY = "public, max-age=86400"

# ReDoc's own logo, which it would fetch from its maker; the favicon stands in for it.
_REDOC_LOGO: Final = (b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"docs/static/favicon.png")

# Swagger UI and ReDoc style their elements inline; ReDoc searches in a worker that it makes from a blob.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Addresses are relative, so that the pages also work below a prefix.
_SWAGGER_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE} API</title>
<link rel="icon" href="docs/static/favicon.png">
<link rel="stylesheet" href="docs/static/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/static/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_SWAGGER_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""

_REDOC_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE} API</title>
<link rel="icon" href="docs/static/favicon.png">
<style>body {{ margin: 0; padding: 0; }}</style>
</head>
<body>
<redoc spec-url="openapi.json"></redoc>
<script src="docs/static/redoc.standalone.js"></script>
</body>
</html>
"""


def _page(html: str) -> HTMLResponse:
    return HTMLResponse(
        html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
    )


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The OpenAPI 3.1 document."""
    return JSONResponse(request.app.openapi(), headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def swagger() -> Response:
    """Swagger UI."""
    return _page(_SWAGGER_PAGE)


@router.get("/docs/start.js")
async def swagger_start() -> Response:
    """What starts Swagger UI: a file of its own, so that the policy need not allow inline scripts."""
    return Response(_SWAGGER_START, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@router.get("/redoc")
async def redoc() -> Response:
    """ReDoc."""
    return _page(_REDOC_PAGE)


@router.get("/docs/static/{name}")
async def static(name: str) -> Response:
    """One of the files of the pages."""
    if name not in _FILES:
        raise NotFound("not_found", "There is nothing at this path.")
    headers = {"Cache-Control": _A_DAY}
    if name == _REDOC:
        return Response(_redoc_script(), media_type="text/javascript", headers=headers)
    return FileResponse(_STATIC / name, headers=headers)


@functools.cache
def _redoc_script() -> bytes:
    return (_STATIC / _REDOC).read_bytes().replace(*_REDOC_LOGO)
