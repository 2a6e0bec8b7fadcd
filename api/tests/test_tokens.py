import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskflow_api import tokens
from taskflow_api.app import create_app
from taskflow_api.settings import read_settings

from .conftest import Database
from .stand_ins import Api, SigningKey, Sso


def encoded(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def tampered_payload(sso: Sso) -> str:
    header, _, signature = sso.token().split(".")
    return f"{header}.{encoded(sso.claims(sub='somebody-else'))}.{signature}"


def tampered_signature(sso: Sso) -> str:
    token = sso.token()
    first = token.rindex(".") + 1
    return token[:first] + ("B" if token[first] == "A" else "A") + token[first + 1 :]


def signed_with_the_public_key(sso: Sso) -> str:
    # written by hand, as PyJWT refuses to make such a token
    public = sso.key.private.public_key()
    secret = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    body = f"{encoded({'alg': 'HS256', 'kid': sso.key.kid})}.{encoded(sso.claims())}"
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = base64.urlsafe_b64encode(algorithm.sign(body.encode(), secret)).rstrip(b"=").decode()
    return f"{body}.{signature}"


BAD: dict[str, Callable[[Sso], str]] = {
    "nothing": lambda _: "",
    "garbage": lambda _: "garbage",
    "three pieces of garbage": lambda _: "a.b.c",
    "a nested header": lambda _: f"{base64.urlsafe_b64encode(b'[' * 6000).decode()}.e30.AAAA",
    "tampered signature": tampered_signature,
    "tampered payload": tampered_payload,
    "no signature": lambda sso: sso.token().rsplit(".", 1)[0] + ".",
    "expired": lambda sso: sso.token(exp=int(time.time()) - 60),
    "not yet valid": lambda sso: sso.token(nbf=int(time.time()) + 60),
    "issued in the future": lambda sso: sso.token(iat=int(time.time()) + 60),
    "wrong audience": lambda sso: sso.token(aud="taskflow-web"),
    "audience with a slash": lambda sso: sso.token(aud=f"{Api.url}/"),
    "other issuer": lambda sso: sso.token(iss="http://evil.test"),
    "issuer by its internal name": lambda sso: sso.token(iss=sso.internal_url),
    "unknown key": lambda sso: sso.token(SigningKey()),
    "other key with the same id": lambda sso: sso.token(SigningKey(sso.key.kid)),
    "no key id": lambda sso: jwt.encode(sso.claims(), sso.key.private, "EdDSA"),
    "alg none": lambda sso: f"{encoded({'alg': 'none', 'kid': sso.key.kid})}.{encoded(sso.claims())}.",
    "HS256 with the public key": signed_with_the_public_key,
    "no sub": lambda sso: sso.token(sub=None),
    "empty sub": lambda sso: sso.token(sub=""),
    "sub that is a number": lambda sso: sso.token(sub=7),
    "no exp": lambda sso: sso.token(exp=None),
    "no aud": lambda sso: sso.token(aud=None),
    "no iss": lambda sso: sso.token(iss=None),
}


def at_once(*requests: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(16) as threads:
        return [answer.result() for answer in [threads.submit(request) for request in requests]]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_token_is_refused_and_writes_nothing(
    bad: str, sso: Sso, database: Database, anyone: httpx.Client
) -> None:
    headers = {"Authorization": f"Bearer {BAD[bad](sso)}".strip()}
    before = database.counts()
    for answer in at_once(
        lambda: anyone.get("/me", headers=headers),
        lambda: anyone.get("/audit", headers=headers),
        lambda: anyone.post("/tasks", headers=headers, json={"title": "break in"}),
        lambda: anyone.post("/projects", headers=headers, content=b"{not even json"),
        lambda: anyone.patch("/tasks/1", headers=headers, json={"status": "done"}),
        lambda: anyone.get("/no/such/thing", headers=headers),
    ):
        assert answer.status_code == 401, answer.text
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert database.counts() == before


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}, {"Authorization": "\xe9"}])
def test_no_token_is_refused(headers: dict[str, str], anyone: httpx.Client, database: Database) -> None:
    before = database.counts()
    answer = anyone.post("/tasks", headers=httpx.Headers(headers, "latin-1"), json={"title": "break in"})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert database.counts() == before


@pytest.mark.parametrize("audience", [Api.url, [Api.url, "http://sso.test:3001/userinfo"]])
def test_a_good_token_is_accepted(audience: object, sso: Sso, anyone: httpx.Client) -> None:
    assert anyone.get("/me", headers=sso.headers(aud=audience)).json()["email"] == "ada@example.com"


def test_a_token_of_a_new_key_is_accepted_without_a_restart(sso: Sso, anyone: httpx.Client) -> None:
    new = SigningKey()
    sso.keys = [sso.key, new]
    assert anyone.get("/me", headers=sso.headers(new)).status_code == 200


def test_invented_keys_do_not_get_through_to_the_sso(sso: Sso, anyone: httpx.Client) -> None:
    before, started = sso.asked, time.monotonic()
    answers = at_once(*[lambda: anyone.get("/me", headers=sso.headers(SigningKey()))] * 16)
    assert {answer.status_code for answer in answers} == {401}
    assert sso.asked - before <= 1 + (time.monotonic() - started) / tokens._INTERVAL  # noqa: SLF001


def test_other_requests_are_answered_while_the_sso_hangs(
    sso: Sso, anyone: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, answers, published = sso.asked, threading.Event(), sso.answer
    monkeypatch.setattr(sso, "answer", lambda: answers.wait(5) and published())
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(anyone.get, "/me", headers=sso.headers(SigningKey()))
        while sso.asked == before:
            time.sleep(0.01)
        assert anyone.get("/health").status_code == 200
        assert anyone.get("/me", headers=sso.headers()).status_code == 200
        assert not waiting.done()
        answers.set()
        assert waiting.result().status_code == 401


@pytest.fixture
def keys(sso: Sso, monkeypatch: pytest.MonkeyPatch) -> tokens.KeySet:
    monkeypatch.setattr(tokens, "_INTERVAL", 0)
    monkeypatch.setattr(sso, "keys", sso.keys)
    monkeypatch.setattr(sso, "answer", sso.answer)
    return tokens.KeySet(f"{sso.internal_url}/api/auth/jwks")


async def find(keys: tokens.KeySet, kid: str) -> bool:
    try:
        return await keys.find(kid) is not None
    finally:
        await keys.close()


def test_a_key_the_sso_no_longer_publishes_dies_out(
    sso: Sso, keys: tokens.KeySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_twice() -> list[bool]:
        withdrawn = SigningKey()
        sso.keys = [sso.key, withdrawn]
        found = [await keys.find(withdrawn.kid) is not None]
        sso.keys = [sso.key]
        monkeypatch.setattr(tokens, "_BELIEVED", 0)
        return [*found, await find(keys, withdrawn.kid)]

    assert asyncio.run(look_twice()) == [True, False]


def test_without_the_keys_of_the_sso_nothing_is_said_about_a_token(sso: Sso, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_INTERVAL", 0)

    async def ask() -> list[httpx.Response]:
        urls = {"SSO_URL": sso.url, "SSO_INTERNAL_URL": sso.internal_url, "API_URL": Api.url}
        settings = read_settings({**urls, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/never-asked"})
        app = create_app(settings)
        app.state.verifier = tokens.Verifier(settings)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            with monkeypatch.context() as down:
                down.setattr(sso, "answer", lambda: b"")
                without = await client.get("/no/such/thing", headers=sso.headers())
            return [without, await client.get("/no/such/thing", headers=sso.headers())]

    without, once_there = asyncio.run(ask())
    assert (without.status_code, "WWW-Authenticate" in without.headers) == (503, False)
    assert without.json() == {"detail": "cannot fetch the SSO's keys, so no token can be checked"}
    assert once_there.status_code == 404


@pytest.mark.parametrize("rubbish", ["", "<html>", "[]", "{}", '{"keys": 1}', "[" * 9999])
def test_rubbish_from_the_sso_is_no_key_set(rubbish: str, sso: Sso, keys: tokens.KeySet) -> None:
    sso.answer = rubbish.encode
    with pytest.raises(tokens.KeysUnavailableError, match="/api/auth/jwks: "):
        asyncio.run(find(keys, "any"))


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "AAAA"},
        {"alg": "HS256"},
        {"crv": "Ed448"},
        {"use": "enc"},
        {"x": "AAAA"},
        {"x": None},
        {"kid": 7},
    ],
)
def test_a_key_of_another_kind_is_left_out_and_the_others_kept(
    change: dict[str, object], sso: Sso, keys: tokens.KeySet
) -> None:
    odd = {**SigningKey("odd").published(), **change}
    sso.answer = lambda: json.dumps({"keys": ["x", odd, sso.key.published()]}).encode()

    async def look() -> list[bool]:
        return [await keys.find("odd") is not None, await find(keys, sso.key.kid)]

    assert asyncio.run(look()) == [False, True]
