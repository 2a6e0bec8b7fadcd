import pytest

from taskflow_api.errors import SettingsError
from taskflow_api.settings import read_settings

GOOD = {
    "DATABASE_URL": "postgresql://api:pa%24sword@db:5432/taskflow?options=-c%20a%3Db",
    "SSO_URL": "http://localhost:3001",
    "API_URL": "http://localhost:8000",
}


def test_defaults_reach_this_machine_only_and_the_public_sso() -> None:
    settings = read_settings(GOOD)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.sso_internal_url == settings.sso_url == "http://localhost:3001"


def test_the_database_url_of_every_tool_becomes_the_one_of_async_psycopg() -> None:
    url = read_settings(GOOD).database_url
    assert url.drivername == "postgresql+psycopg"
    assert (url.password, url.query["options"]) == ("pa$sword", "-c a=b")


def test_all_that_is_missing_or_empty_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"^missing in the environment: SSO_URL, API_URL$"):
        read_settings({**GOOD, "SSO_URL": "", "API_URL": ""})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://api:pa$sword@db:port/taskflow"),
        ("DATABASE_URL", "pa$sword"),
        ("DATABASE_URL", "mysql://api:pa$sword@db/taskflow"),
        ("SSO_URL", "http://localhost:3001/"),
        ("SSO_URL", "postgresql://api:pa$sword@db:5432/taskflow"),
        ("API_URL", "http://api:pa$sword@localhost:8000"),
        ("SSO_INTERNAL_URL", "sso:3001"),
        ("API_URL", "localhost:8000"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
    ],
)
def test_nonsense_is_refused_by_name_without_the_password(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} ") as refusal:
        read_settings({**GOOD, variable: value})
    assert "pa$sword" not in str(refusal.value)


def test_printed_settings_hold_no_password() -> None:
    assert "sword" not in repr(read_settings(GOOD))
