"""Trust in the certificates that this machine trusts, for Node too; and what to do where one is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

# NODE_USE_SYSTEM_CA came with Node 22.19 and 24.6 (nodejs.org, CLI documentation); an older one knows files only.
_KNOWS_SYSTEM = ((22, 19), (24, 6))
# Where systems keep all certificates that they trust, in one file: Debian, Fedora, openSUSE, Alpine and FreeBSD, macOS.
_BUNDLES = (
    *("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    *("/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"),
)
# As Node, Python, OpenSSL, curl, git and Go say it.
_REFUSED = re.compile(
    "SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    "|CERTIFICATE_VERIFY_FAILED|certificate verify failed|self[- ]signed certificate|unable to get local issuer"
    "|unable to verify the first certificate|SSL certificate problem|x509: certificate signed by unknown authority"
)
_DATE = re.compile("CERT_HAS_EXPIRED|CERT_NOT_YET_VALID|certificate has expired|certificate is not yet valid")


def for_node(version: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which a Node of this version trusts what this machine trusts.

    None where the environment says what it is to trust. Without them it knows the list that it was built with only,
    and no CA of a company's proxy.
    """
    if any(name in environment for name in ("NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA")):
        return {}
    if _reads_system(version):
        return {"NODE_USE_SYSTEM_CA": "1"}
    named = environment.get("SSL_CERT_FILE", "")
    bundle = next((path for path in (named, *_BUNDLES) if path and Path(path).is_file()), "")
    return {"NODE_EXTRA_CA_CERTS": bundle} if bundle else {}


def _reads_system(version: str) -> bool:
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        return False
    major, minor = int(found[1]), int(found[2])
    return major > _KNOWS_SYSTEM[-1][0] or any(major == known and minor >= since for known, since in _KNOWS_SYSTEM)


def hint_for(said: str, otherwise: str, *, in_image: bool = False) -> str:
    """Return what to do where a tool said that it does not trust a certificate; else the other hint."""
    if _DATE.search(said):
        return "see that the clock of this machine is right: date; else the server's certificate is out of date"
    if not _REFUSED.search(said):
        return otherwise
    if in_image:
        return "copy the CA certificate of your network's proxy into the image, and run update-ca-certificates there"
    file = "/path/to/ca.pem"
    return (
        "let this machine trust the CA of your network's proxy: add its certificate to those of the system, or"
        f" export SSL_CERT_FILE={file} PIP_CERT={file} NODE_EXTRA_CA_CERTS={file}"
    )
