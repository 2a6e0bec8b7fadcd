"""How an owner's tool learns its database: from a URL in one variable, or from parts of it in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from .database import Target
from .errors import SettingsError
from .places import Place
from .settings import OwnerSettings
from .urls import ends_early, holds_raw, user_and_database, with_database, with_user


def variables_of(settings: OwnerSettings) -> Sequence[str]:
    return list(settings.variables.values()) or [settings.url_variable]


def urls_of(settings: OwnerSettings, environment: Mapping[str, str]) -> Sequence[str]:
    """The variables with a URL: the one that must be there, and the others of it that are."""
    return [settings.url_variable, *(name for name in settings.more_urls if environment.get(name))]


def connects_as(settings: OwnerSettings, environment: Mapping[str, str]) -> Mapping[str, tuple[str, str]]:
    """By variables: the role and the database that they name; empty where they do not say."""
    if parts := settings.variables:
        pair = (environment.get(parts["user"], ""), environment.get(parts["database"], ""))
        return {", ".join(variables_of(settings)): pair}
    return {name: user_and_database(environment.get(name, "")) for name in urls_of(settings, environment)}


def misread_password(settings: OwnerSettings, environment: Mapping[str, str], password: str) -> tuple[str, str]:
    """Return the variable that says another password than this one, and why; nothing where none does.

    In a URL a password is percent-encoded, in a variable of its own it is not.
    """
    name, encoded = settings.variables.get("password", ""), quote(password, safe="")
    if encoded != password and environment.get(name) == encoded:
        return name, "has it percent-encoded, which is for URLs"
    if ends_early(password):
        for name, value in environment.items():
            if holds_raw(value, password):
                return name, "has it as it is, and a URL ends at some of its characters, or decodes them"
    return "", ""


def pointed_at(
    settings: OwnerSettings,
    environment: Mapping[str, str],
    target: Target,
    *,
    from_host: bool = False,
    as_its_user: bool = False,
    password_file: str = "",
) -> dict[str, str]:
    """The variables turned to another database.

    `from_host`: also to the address that its server has here; `as_its_user`: to connect as this target does.
    `password_file`: where this machine has the file with the owner's password.
    """

    def turned(url: str) -> str:
        url = with_database(url, target.name, target.address if from_host else "")
        return with_user(url, target.user, quote(target.password, safe="")) if as_its_user else url

    if not settings.variables:
        return {name: turned(environment[name]) for name in urls_of(settings, environment)}
    if as_its_user and "password_file" in settings.variables:
        raise SettingsError(
            "a tool that takes its password as a file cannot be sent to a database as somebody else",
            expected="`variables.password`, or a URL",
            hint="leave this proof out for that owner",
        )
    server = {"host": target.host, "port": str(target.port), "password_file": password_file} if from_host else {}
    login = {"user": target.user, "password": target.password} if as_its_user else {}
    values = {**server, **login, "database": target.name}
    return {settings.variables[part]: value for part, value in values.items() if part in settings.variables}


def as_owner(settings: OwnerSettings, place: Place, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables turned to the owner's own role and database, as a compose file is to say it; none where none are.

    The server, and what else a URL has, stays.
    """
    password = f"${{{place.password}}}"  # where it is a file, its path in the container stays as it is
    if not all(environment.get(name) for name in variables_of(settings)):
        return {}
    if parts := settings.variables:
        said = {parts["password"]: password} if "password" in parts else {}
        return {parts["user"]: place.role, **said, parts["database"]: place.database}
    return {
        name: with_user(with_database(environment[name], place.database), place.role, password)
        for name in urls_of(settings, environment)
    }


def as_written(settings: OwnerSettings, place: Place, default: str) -> Mapping[str, str]:
    """What these variables are to say in compose.yaml; `default`: the stack's database."""
    password, database = f"${{{place.password}}}", f"${{{place.database_variable}:-{default}}}"
    if parts := settings.variables:
        values = {parts["user"]: place.role, parts["database"]: database}
        values |= {parts["password"]: password} if "password" in parts else {}
        return {name: values[name] for name in parts.values() if name in values}
    return {settings.url_variable: f"postgresql://{quote(place.role)}:{password}@...:5432/{database}"}
