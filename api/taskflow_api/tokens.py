"""Whom a bearer token speaks for. Everything is refused that is not proven."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from .settings import Settings

# What the SSO signs with. Never take it from the token: that is how "none", and HS256 with the public key, get in.
_ALGORITHM = "EdDSA"
_LEEWAY = 5  # seconds two clocks may differ
_BELIEVED = 600  # seconds a key counts after it was last seen at the SSO, so that a withdrawn key dies out
_INTERVAL = 1  # seconds between two looks at the SSO, however many tokens name a key nobody knows
_PATIENCE = 3  # seconds the SSO has to answer


class InvalidTokenError(Exception):
    """The token proves nothing."""


class KeysUnavailableError(Exception):
    """The SSO's keys cannot be had, so nothing can be said about any token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says about its bearer."""

    sub: str
    name: str
    email: str


class KeySet:
    """The SSO's public keys by their id, fetched when needed and kept for a while."""

    def __init__(self, url: str) -> None:
        # trust_env: this talks to one known service; a proxy meant for the internet must not get in between
        self._client = httpx.AsyncClient(timeout=_PATIENCE, trust_env=False)
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._failure = ""
        self._tried_at = self._fetched_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection to the SSO."""
        await self._client.aclose()

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key, or None when the SSO has none of this id; KeysUnavailableError when it cannot be asked."""
        asked_at = time.monotonic()
        if kid in self._keys and asked_at < self._fetched_at + _BELIEVED:
            return self._keys[kid]
        # An unknown key is a new one or an invented one. All who ask wait for the same next look at the SSO: a new key
        # is never refused, and no flood of invented ones gets through to the SSO.
        async with self._refreshing:
            if self._tried_at < asked_at:
                await asyncio.sleep(self._tried_at + _INTERVAL - time.monotonic())
                await self._refresh()
        if self._failure:
            raise KeysUnavailableError(self._failure)
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        self._tried_at = time.monotonic()
        self._failure = "interrupted"  # stays when this is cancelled
        try:
            async with asyncio.timeout(_PATIENCE):
                response = await self._client.get(self._url)
            response.raise_for_status()
            self._keys = dict(_usable(response.json()["keys"]))
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._failure = f"{self._url}: {error or type(error).__name__}"
            return
        self._failure = ""
        self._fetched_at = time.monotonic()


def _usable(published: Iterable[Any]) -> Iterator[tuple[str, jwt.PyJWK]]:
    # A key of another kind, or a broken one, must not take the good ones away.
    for key in published:
        match key:
            # "use" and "alg" may be left out
            case {"kid": str(kid), "kty": "OKP", "crv": "Ed25519"} if (
                key.get("use", "sig") == "sig" and key.get("alg", _ALGORITHM) == _ALGORITHM
            ):
                with suppress(jwt.PyJWTError):
                    yield kid, jwt.PyJWK(key, _ALGORITHM)


class Verifier:
    """Checks tokens of one issuer for one audience."""

    def __init__(self, settings: Settings) -> None:
        self._keys = KeySet(f"{settings.sso_internal_url}/api/auth/jwks")
        self._issuer = settings.sso_url
        self._audience = settings.api_url

    async def close(self) -> None:
        """Let go of what it holds open."""
        await self._keys.close()

    async def verify(self, token: str) -> Claims:
        """Return what the token says; InvalidTokenError, or KeysUnavailableError when it could not be checked."""
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            if header.get("alg") != _ALGORITHM or not isinstance(kid, str):
                raise InvalidTokenError(f"expected a token signed with {_ALGORITHM} by a named key")
            key = await self._keys.find(kid)
            if key is None:
                raise InvalidTokenError("the token's key is not one of the SSO's")
            payload = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidTokenError(str(error)) from error
        sub = payload["sub"]
        if not sub:
            raise InvalidTokenError("the token's sub is empty")
        email = str(payload.get("email") or "")
        return Claims(sub=sub, name=str(payload.get("name") or email or sub), email=email)
