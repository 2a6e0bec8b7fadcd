import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

# A host, wherever it stands: an address with a scheme, or one without that begins with two slashes.
ELSEWHERE = re.compile(r"https?:|//\w")
# What a style sheet loads.
LOADED = re.compile(r"@import|url\((?![\"']?data:)")


class Addresses(HTMLParser):
    """Every address in a page, whatever element names it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found += [values[name] or "" for name in ("src", "href", "action", "data", "srcset") if name in values]
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        if tag in {"script", "style"} and "src" not in values:
            self.inline.append(tag)


def test_everything_that_docs_names_is_here_and_answers_anybody(anyone: httpx.Client) -> None:
    page = anyone.get("/docs")
    addresses = Addresses(page.text)
    assert page.status_code == 200
    assert len(addresses.found) == 4
    assert not addresses.inline, "the policy allows no script in the page"
    origin = urlsplit(str(page.url))
    for address in addresses.found:
        url = urlsplit(urljoin(str(page.url), address))
        assert (url.scheme, url.netloc) == (origin.scheme, origin.netloc), address
        answer = anyone.get(url.path)
        assert answer.status_code == 200, address
        assert answer.content
    for text in (page.text, anyone.get("/docs/start.js").text):
        assert not ELSEWHERE.search(text)
    assert not LOADED.search(anyone.get("/docs/swagger-ui.css").text)
    # what the packaged script loads can only be seen in a browser: tests/browser/test_api_docs.py


def test_the_policy_of_docs_allows_no_other_host(anyone: httpx.Client) -> None:
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js"):
        policy = anyone.get(path).headers["Content-Security-Policy"]
        sources = {source for part in policy.split(";") for source in part.split()[1:]}
        assert policy.startswith("default-src 'none';")
        assert sources == {"'none'", "'self'", "data:", "'unsafe-inline'"}
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/redoc.standalone.js", "/docs/..%2fcore.py"])
def test_nothing_else_is_served_beside_it(path: str, anyone: httpx.Client, ada: httpx.Client) -> None:
    assert anyone.get(path).status_code == 401
    assert ada.get(path).status_code == 404
