"""Nobody gets past here without a valid token."""

from fastapi import Request, status
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .logs import log
from .routes import docs
from .tokens import InvalidTokenError, KeysUnavailableError

PUBLIC = {"/health", "/openapi.json", *docs.PATHS}


class RequireBearer:
    """Asks for a token before anything else of a request is looked at: no endpoint can forget to, no body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or hand it on with its claims."""
        if scope["type"] != "http" or scope["path"] in PUBLIC:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refusal = await _authenticate(request)
        await (refusal or self.app)(scope, receive, send)


async def _authenticate(request: Request) -> JSONResponse | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return _refusal(status.HTTP_401_UNAUTHORIZED, "no bearer token", {"WWW-Authenticate": "Bearer"})
    try:
        request.state.claims = await request.app.state.verifier.verify(token.strip())
    except InvalidTokenError as error:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return _refusal(status.HTTP_401_UNAUTHORIZED, f"invalid token: {error}", challenge)
    except KeysUnavailableError as error:
        # The token may well be good: 401 would send its bearer off to sign in again for nothing.
        log.warning("cannot fetch the SSO's keys: %s", error)
        detail = "cannot fetch the SSO's keys, so no token can be checked"
        return _refusal(status.HTTP_503_SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})
    return None


def _refusal(status_code: int, detail: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code, headers)
