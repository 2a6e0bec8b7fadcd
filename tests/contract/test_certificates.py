"""A server whose certificate only this machine trusts, as behind a company's proxy, and a real Node."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.bootorder.certificates import for_node, hint_for
from tests.conftest import unavailable

_ASK = "require('https').get(process.argv[1], r => { console.log(r.statusCode); r.resume() })"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and the certificate of the CA that signed its own."""
    if not shutil.which("openssl") or not shutil.which("node"):
        unavailable("no openssl, or no node")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    new = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Company")
    openssl("req", *new, "-keyout", "key.pem", "-out", "asked.pem", "-subj", "/CN=localhost")
    (tmp_path / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n", encoding="utf-8")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"]
    openssl("x509", "-req", "-in", "asked.pem", *signed, "-out", "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as serving:
        serving.socket = context.wrap_socket(serving.socket, server_side=True)
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{serving.server_address[1]}/", tmp_path / "ca.pem"
        serving.shutdown()
        thread.join()


def test_node_trusts_what_this_machine_trusts(server: tuple[str, Path]) -> None:
    address, ca = server
    node = shutil.which("node") or ""
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip().lstrip("v")
    given = {"SSL_CERT_FILE": str(ca)}

    def ask(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [node, "-e", _ASK, address], env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    without, trusting = ask(given), ask({**given, **for_node(version, given)})

    assert without.returncode
    assert "SSL_CERT_FILE" in hint_for(without.stderr, "otherwise")
    assert trusting.stdout == "200\n", trusting.stderr
