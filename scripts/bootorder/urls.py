"""A tool's own URL of its database, turned to another one."""

from __future__ import annotations

from urllib.parse import quote, unquote


def with_database(url: str, name: str, address: str = "") -> str:
    """A tool's own URL turned to another database; its scheme, user and query stay.

    `address`: also to this one, of the server.
    """
    # By hand: urlsplit refuses passwords with a bracket, urlunsplit loses the slashes of a URL without a host.
    before, mark, query = url.partition("?")
    scheme, _, rest = before.partition("://")
    server = rest.partition("/")[0]
    if address:
        user, at, _ = server.rpartition("@")
        server = f"{user}{at}{address}"
    return f"{scheme}://{server}/{quote(name)}{mark}{query}"


def with_user(url: str, user: str, password: str) -> str:
    """The same URL for somebody else; `password` as it is to stand there."""
    scheme, _, rest = url.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}://{quote(user)}:{password}@{server.rpartition('@')[2]}{slash}{path}"


def ends_early(password: str) -> bool:
    """Whether a URL in which this password stands as it is says another one, or another server."""
    return unquote(password) != password or any(letter in password for letter in "@/?#")


def holds_raw(url: str, password: str) -> bool:
    """Whether the password stands in a URL as it is, between a user and a server."""
    return f":{password}@" in url.partition("://")[2]


def user_and_database(url: str) -> tuple[str, str]:
    """Whom a tool's URL connects as, and to which database; empty where it does not say."""
    server, _, database = url.partition("?")[0].partition("://")[2].partition("/")
    user = server.rpartition("@")[0].partition(":")[0]
    return unquote(user), unquote(database)
