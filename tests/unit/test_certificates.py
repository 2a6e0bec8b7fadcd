from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bootorder import certificates
from scripts.bootorder.certificates import for_node, hint_for


@pytest.mark.parametrize("version", ["22.19.0", "22.23.1", "24.6.0", "24.19.0", "25.0.0", "26.1.0"])
def test_a_node_that_can_read_the_system_is_let_do_so(version: str) -> None:
    assert for_node(version, {"SSL_CERT_FILE": "/bundle"}) == {"NODE_USE_SYSTEM_CA": "1"}


@pytest.mark.parametrize("version", ["18.20.8", "20.20.2", "22.18.0", "23.11.0", "24.5.0", "", "nonsense"])
def test_an_older_one_gets_the_file_of_the_system(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, own = tmp_path / "system.pem", tmp_path / "own.pem"
    monkeypatch.setattr(certificates, "_BUNDLES", (str(tmp_path / "of another system"), str(bundle)))
    assert for_node(version, {}) == {}
    bundle.touch()
    assert for_node(version, {"SSL_CERT_FILE": str(own)}) == {"NODE_EXTRA_CA_CERTS": str(bundle)}
    own.touch()
    assert for_node(version, {"SSL_CERT_FILE": str(own)}) == {"NODE_EXTRA_CA_CERTS": str(own)}


@pytest.mark.parametrize("said", [{"NODE_EXTRA_CA_CERTS": "/mine"}, {"NODE_USE_SYSTEM_CA": "0"}])
def test_what_a_person_said_stays(said: dict[str, str]) -> None:
    assert for_node("24.19.0", said) == for_node("20.20.2", said) == {}


@pytest.mark.parametrize(
    "said",
    [
        "npm error code SELF_SIGNED_CERT_IN_CHAIN",
        "npm error code UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)",
        "curl: (60) SSL certificate problem: unable to get local issuer certificate",
        "x509: certificate signed by unknown authority",
    ],
)
def test_a_certificate_that_is_not_trusted_has_a_hint_of_its_own(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    assert "export SSL_CERT_FILE=/path/to/ca.pem" in hint_for(f"a line\n{said}\nanother", "otherwise")
    assert "update-ca-certificates" in hint_for(said, "otherwise", in_image=True)


def test_a_clock_that_is_wrong_and_all_else_have_theirs() -> None:
    assert "clock" in hint_for("npm error code CERT_HAS_EXPIRED", "otherwise")
    assert hint_for("npm error code ENOTFOUND", "otherwise") == "otherwise"
