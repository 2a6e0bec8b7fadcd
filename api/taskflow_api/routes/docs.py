"""`/docs`: Swagger UI from files that a package brings. Nothing on the page comes from another host."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, HTTPException, status
from fastapi.responses import FileResponse, HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_FILES = Path(fastapi_offline.__file__).parent / "static"
# The second line behind local files: what is named here is all that a browser loads. Swagger UI writes styles into
# elements.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>taskflow API</title>
<link rel="icon" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# A file of its own, as the policy allows no script in the page. Without validatorUrl it could send the address of the
# API to a validator on the internet.
_START = 'SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null })\n'


_PACKAGED = ("favicon.png", "swagger-ui.css", "swagger-ui-bundle.js")
# What anybody may see without a token.
PATHS = {"/docs", "/docs/start.js", *(f"/docs/{name}" for name in _PACKAGED)}


@router.get("/docs")
async def page() -> HTMLResponse:
    """Show every endpoint, and let people try them."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """Give one of the files that the page loads."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=_HEADERS)
    if name not in _PACKAGED:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return FileResponse(_FILES / name, headers=_HEADERS)
