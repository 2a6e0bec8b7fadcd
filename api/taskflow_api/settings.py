"""What the app takes from its environment. Nothing is read anywhere else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from .errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """One value for each variable that README.md lists."""

    # repr=False: settings end up in logs and tracebacks, passwords must not
    database_url: URL = field(repr=False)
    sso_url: str
    sso_internal_url: str
    api_url: str
    host: str
    port: int


def read_settings(env: Mapping[str, str]) -> Settings:
    """Read and check everything; SettingsError names all that is missing at once."""
    _require(env, "DATABASE_URL", "SSO_URL", "API_URL")
    return Settings(
        database_url=read_database_url(env),
        sso_url=_base_url(env, "SSO_URL"),
        sso_internal_url=_base_url(env, "SSO_INTERNAL_URL" if env.get("SSO_INTERNAL_URL") else "SSO_URL"),
        api_url=_base_url(env, "API_URL"),
        # only this machine, unless told otherwise; the image says 0.0.0.0
        host=env.get("HOST") or "127.0.0.1",
        port=_port(env.get("PORT") or "8000"),
    )


def read_database_url(env: Mapping[str, str]) -> URL:
    """Read DATABASE_URL, the same for every tool of the stack, as SQLAlchemy's URL for async psycopg."""
    _require(env, "DATABASE_URL")
    # No message here repeats the value: it has a password in it.
    try:
        url = make_url(env["DATABASE_URL"])
    except (ArgumentError, ValueError):
        raise SettingsError("DATABASE_URL is not postgresql://USER:PASSWORD@HOST:PORT/NAME") from None
    if url.drivername not in {"postgresql", "postgres"}:
        raise SettingsError(f"DATABASE_URL starts with {url.drivername}://, expected postgresql://")
    return url.set(drivername="postgresql+psycopg")


def _require(env: Mapping[str, str], *names: str) -> None:
    # Compose hands on an unset variable as an empty one.
    missing = [name for name in names if not env.get(name)]
    if missing:
        raise SettingsError(f"missing in the environment: {', '.join(missing)}")


def _base_url(env: Mapping[str, str], name: str) -> str:
    value = env[name]
    # Not repeated: it is a password in a wrong place, as of a DATABASE_URL that got into this variable.
    if "@" in value:
        raise SettingsError(f"{name} has a user or password in it, expected http(s)://HOST[:PORT]")
    parts = urlsplit(value)
    # Issuer and audience are compared letter by letter, so a stray slash would refuse every token.
    if (
        parts.scheme not in {"http", "https"}
        or not parts.netloc
        or value.endswith("/")
        or parts.query
        or parts.fragment
    ):
        raise SettingsError(f"{name} is {value!r}, expected http(s)://HOST[:PORT] without a slash at its end")
    return value


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) not in range(1, 65536):
        raise SettingsError(f"PORT is {value!r}, expected a number from 1 to 65535")
    return int(value)
