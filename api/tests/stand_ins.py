"""What stands beside the API in its tests: an SSO that publishes keys, and a running API."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

API_FOLDER = Path(__file__).parent.parent


class SigningKey:
    """A key pair with an id."""

    def __init__(self, kid: str | None = None) -> None:
        self.kid = kid or secrets.token_hex(8)
        self.private = Ed25519PrivateKey.generate()

    def published(self) -> dict[str, Any]:
        """Give the public half as better-auth publishes it."""
        return {**OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": self.kid, "alg": "EdDSA"}


class Sso:
    """Publishes the keys in `keys`, or answers `answer` instead, and counts how often it is asked."""

    def __init__(self) -> None:
        self.key = SigningKey()
        self.keys = [self.key]
        self.answer: Callable[[], bytes] = self._published
        self.asked = 0
        sso = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sso.asked += 1
                body = sso.answer() if self.path == "/api/auth/jwks" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()
        self.internal_url = f"http://127.0.0.1:{self._server.server_port}"
        # what browsers and tokens call it; never looked up here, so a mix-up of the two would fail
        self.url = "http://sso.test:3001"

    def _published(self) -> bytes:
        return json.dumps({"keys": [key.published() for key in self.keys]}).encode()

    def claims(self, **changes: object) -> dict[str, Any]:
        """Give the claims of a good token, with changes; None leaves a claim out."""
        claims = {
            "iss": self.url,
            "aud": Api.url,
            "sub": "sub-of-ada",
            "name": "Ada",
            "email": "ada@example.com",
            "iat": int(time.time()),
            "exp": int(time.time()) + 3600,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key: SigningKey | None = None, **changes: object) -> str:
        """Sign a token, a good one unless told otherwise."""
        key = key or self.key
        return jwt.encode(self.claims(**changes), key.private, "EdDSA", {"kid": key.kid})

    def headers(self, key: SigningKey | None = None, **changes: object) -> dict[str, str]:
        """Give the header that carries such a token."""
        return {"Authorization": f"Bearer {self.token(key, **changes)}"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Api:
    """The API as a process of its own, started as people start it."""

    url = "http://api.test:8000"  # the audience of tokens; tests reach it at `base_url`

    def __init__(self, database_url: str, sso_url: str, sso_internal_url: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        env = {"SSO_URL": sso_url, "SSO_INTERNAL_URL": sso_internal_url, "API_URL": self.url, "PORT": str(port)}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed by stop
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskflow_api"],
            env=environment(DATABASE_URL=database_url, **env),
            cwd=API_FOLDER,
            stdout=self._log,
            stderr=self._log,
        )

    def wait(self) -> "Api":
        """Return when it is healthy."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.base_url}/health", timeout=5).status_code == httpx.codes.OK:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"the API did not become healthy:\n{self.log()}")

    def log(self) -> str:
        """Give what it has printed so far."""
        self._log.seek(0)
        return self._log.read()

    def terminate(self) -> float:
        """Send SIGTERM and return the seconds it took to end."""
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(10)
        return time.monotonic() - started

    def stop(self) -> None:
        """End it, however it is."""
        self.process.kill()
        self.process.wait(10)
        self._log.close()


def environment(**variables: str) -> dict[str, str]:
    """Give a process these variables and none of the test's own (DATABASE_URL, PG*, ...)."""
    return {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ} | variables
