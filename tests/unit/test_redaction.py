"""No secret leaves, in whatever form a tool writes it; and what is no secret is left as it is."""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
import string
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts.bootorder import env_file
from scripts.bootorder.console import Console
from scripts.bootorder.errors import LogTail, MigrationError, SettingsError
from scripts.bootorder.program import translated
from scripts.bootorder.redaction import HIDDEN, SECRETS, Secrets, forms
from scripts.bootorder.settings import parse
from scripts.bootorder.timeline import drawing
from scripts.bootorder.timeline.spans import Timeline
from scripts.bootorder.timeline.trace import trace

from .fakes import FakeStack, FakeTerminal


def lower(text: str) -> str:
    return "".join(part.lower() if index % 2 else part for index, part in enumerate(_split_escapes(text)))


def _split_escapes(text: str) -> list[str]:
    parts, rest = [], text
    while "%" in rest:
        before, _, after = rest.partition("%")
        parts += [before, f"%{after[:2]}"]
        rest = after[2:]
    return [*parts, rest]


# As the writers of text write it: independent of how the module makes its forms.
WRITERS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "quote": quote,
    "quote all": lambda text: quote(text, safe=""),
    "encodeURIComponent": lambda text: quote(text, safe="!'()*"),
    "quote_plus": quote_plus,
    "lower-case hex": lambda text: lower(quote(text, safe="")),
    "json": json.dumps,
    "json in letters": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps({"password": text})),
    "json of a url": lambda text: json.dumps(quote(text, safe="")),
    "repr": repr,
    "repr of bytes": lambda text: repr(f"x {text}"),
    "sql": lambda text: "'" + text.replace("'", "''") + "'",
    "sql name": lambda text: '"' + text.replace('"', '""') + '"',
    "conninfo": lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "shell": shlex.quote,
    "shell, other way": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "html": html.escape,
    "xml": escape,
    "compose": lambda text: text.replace("$", "$$"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of a url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "in a url": lambda text: f"postgresql://api:{quote(text, safe='')}@localhost:5432/shop",
}
SYMBOLS = "@:/%?#&=+ '\"\\$`<>[]{}|^~!*();,ä✓"
# Passwords as people and machines make them. None of them is made of one letter only, as `aaaaaaaa` would be.
secrets = st.text(st.sampled_from(string.ascii_letters + string.digits + SYMBOLS), min_size=8, max_size=40).filter(
    lambda text: text.strip() == text and len(set(text)) >= 6 and any(letter.isdecimal() for letter in text)
)
words = st.text(st.sampled_from(string.ascii_lowercase + " .,:[]|→"), max_size=30)


def knowing(value: str, name: str = "DATABASE_PASSWORD", **others: str) -> Secrets:
    known = Secrets()
    known.learn({name: value, **others}, required=[name])
    return known


@given(secrets, words, words)
@pytest.mark.parametrize("writer", WRITERS)
def test_properties_no_secret_survives_in_any_form(writer: str, secret: str, before: str, after: str) -> None:
    written = WRITERS[writer](secret)

    shown = knowing(secret).redact(f"{before}{written}{after}")

    assert HIDDEN in shown
    assert not [form for form in forms(secret) if form in shown and form not in before + HIDDEN + after]
    assert written not in shown


@given(secrets, secrets)
def test_properties_the_password_of_http_is_hidden_too(user: str, secret: str) -> None:
    shown = knowing(secret).redact("Authorization: Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode())

    assert HIDDEN in shown


@given(st.lists(secrets, min_size=1, max_size=4), words)
def test_properties_text_without_secrets_is_unchanged(values: list[str], text: str) -> None:
    known = Secrets()
    known.learn({f"SECRET_{number}": value for number, value in enumerate(values)})

    assume(not any(form in text for value in values for form in forms(value)))
    assert known.redact(text) == text


@given(secrets, st.integers(1, 7), st.text("→… ", max_size=5))
def test_properties_nothing_of_secrets_that_overlap_is_left(secret: str, shared: int, between: str) -> None:
    """One that is a part of another, and one that begins where another one ends."""
    other = secret[-shared:] + "-Z9#" * 2
    known = knowing(secret, OTHER_SECRET=other, PART_SECRET=secret[2:])

    assert known.redact(f"{secret}{other[shared:]}") == HIDDEN
    assert known.redact(f"{between}{secret}{between}") == f"{between}{HIDDEN}{between}"


@given(secrets)
def test_properties_a_secret_that_a_tool_colours_in_part_is_hidden(secret: str) -> None:
    assume("\x1b" not in secret)
    coloured = f"\x1b[31m{secret[:4]}\x1b[0m{secret[4:]}"

    assert secret not in knowing(secret).redact(f"it is {coloured}")
    assert HIDDEN in knowing(secret).redact(f"it is {coloured}")


def test_a_key_of_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\n-----END KEY-----"
    known = knowing(key)

    for text in (key, " ".join(key.split()), "9w0BAQEFAASCBKcwggSj", json.dumps(key)):
        assert "9w0BAQEFAASCBKcwggSj" not in known.redact(f"x {text}")


# -- what is a secret --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "8000"),
        ("DEBUG", "true"),
        ("COMPOSE_PROJECT_NAME", "shop-1a2b3c"),
        ("NODE_ENV", "development"),
        ("LOG_LEVEL", "info"),
        ("TZ", "Europe/Berlin"),
        ("APP_NAME", "my-shop"),
        ("SMTP_HOST", "mail.example.org:25"),
        ("API_URL", "http://localhost:8000/api?x=1"),
        ("WEB_IMAGE", "registry.example.org/shop/web:1.2.3"),
        ("KEYCLOAK_CLIENT_ID", "shop-web-7"),
        ("KEYCLOAK_URL", "https://id.example.org/realms/shop7"),
        ("TOKEN_SECONDS", "3600"),
        ("SHORT_KEY", "a1"),
    ],
)
def test_what_is_plainly_no_secret_is_shown(name: str, value: str) -> None:
    known = Secrets()
    known.learn({name: value})

    assert known.redact(f"it has {value} there, {name}={value}") == f"it has {value} there, {name}={value}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE", "sk_live_51Hx"),
        ("SESSION_SECRET", "correct-horse"),
        ("OTP_KEY", "123456789"),
        ("SLACK_WEBHOOK_URL", "https://hooks.example.org/T0/B0/xyz"),
        ("SENTRY_DSN", "https://0123456789abcdef0123@o1.example.org/1"),
        ("ODD", "k7"),
    ],
)
def test_the_other_values_are_hidden(name: str, value: str) -> None:
    known = Secrets()
    known.learn({name: value}, required=["ODD"])

    assert value not in known.redact(f"password={value} in it")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://api:Geheim77@db:5432/shop",
        "postgresql://api:p%40ss-word@db/shop",
        "postgresql://api:p@ss-word@db/shop",
        "redis://:Geheim77@cache:6379",
        "https://x.example.org/cb?api_key=Geheim77&a=b",
    ],
)
def test_of_a_url_only_the_password_is_hidden_unless_the_whole_is_encoded(url: str) -> None:
    known = Secrets()
    known.learn({"DATABASE_URL": url})

    shown = known.redact(f"cannot reach {url}")

    assert not [word for word in ("Geheim77", "p%40ss-word", "p@ss-word", "ss-word") if word in shown]
    assert shown.startswith(f"cannot reach {url.partition('://')[0]}://")
    assert HIDDEN in known.redact(quote(url, safe="")) or "Geheim77" not in url
    assert "Geheim77" not in known.redact(quote(url, safe=""))


EVERYBODYS = ["postgres", "password", "shop", "5432", "k7"]


@pytest.mark.parametrize("value", EVERYBODYS)
def test_a_password_that_is_an_ordinary_word_is_hidden_in_its_place_only(value: str) -> None:
    known = Secrets()
    known.learn({"DB_PASS": value}, required=["DB_PASS"], names=["shop"])
    sentence = f"the {value} of {value} answers on {value}, primary key {value}"

    assert known.redact(sentence) == sentence
    for text in (
        f"postgresql://{value}:{value}@db/{value}",
        f"url=postgresql%3A%2F%2F{value}%3A{value}%40db",
        f"POSTGRES_PASSWORD={value}",
        f'{{"POSTGRES_PASSWORD": "{value}"}}',
        f'"{{\\"password\\": \\"{value}\\"}}"',
        f"alter role {value} password '{value}'",
        f"--password {value}",
        f"DB_PASS={value}",
    ):
        assert known.redact(text) != text
        assert known.redact(text).count(HIDDEN) == 1
        assert known.redact(text).count(value) == text.count(value) - 1


def test_a_short_password_is_hidden_as_a_word_and_not_within_one() -> None:
    known = knowing("post")

    assert known.redact("post: the postgres of 'post'") == f"{HIDDEN}: the postgres of '{HIDDEN}'"


# -- when it is learnt -------------------------------------------------------------------------------------------------


def test_the_values_of_env_are_secrets_as_soon_as_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SESSION_SECRET=in-the-file-1\nOTHER='two 2 two'\n", encoding="utf-8")
    monkeypatch.setenv("SESSION_SECRET", "in-the-world-2")

    env_file.read(tmp_path / ".env")

    assert SECRETS.redact("in-the-file-1 in-the-world-2 two 2 two") == " ".join([HIDDEN] * 3)


def test_new_secrets_are_known_when_they_are_made(tmp_path: Path) -> None:
    env_file.complete(tmp_path / ".env", ["API_DB_PASSWORD"], tmp_path / "state" / "lock")

    made = (tmp_path / ".env").read_text(encoding="utf-8").partition("API_DB_PASSWORD=")[2].strip()

    assert len(made) == 48
    assert SECRETS.redact(f"x{made}x") == f"x{HIDDEN}x"


def test_lent_secrets_are_known_while_they_are_lent(tmp_path: Path) -> None:
    import os

    with env_file.lent(tmp_path / ".env", ["API_DB_PASSWORD"]):
        assert SECRETS.redact(os.environ["API_DB_PASSWORD"]) == HIDDEN


def test_what_one_thread_learns_another_hides() -> None:
    talk = io.StringIO()
    console = Console(talk)
    thread = threading.Thread(target=SECRETS.learn, args=[{"TOKEN": "made-just-now-1"}])
    thread.start()
    thread.join()

    console.say("it is made-just-now-1")

    assert talk.getvalue() == f"it is {HIDDEN}\n"


# -- where it could leave ----------------------------------------------------------------------------------------------

SECRET = "s3cret/of the+stack'"


@pytest.fixture
def known() -> Secrets:
    SECRETS.learn({"DATABASE_PASSWORD": SECRET})
    return SECRETS


def leaks(text: str) -> list[str]:
    return [form for form in forms(SECRET) if form in text]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("writer", WRITERS)
def test_whatever_the_console_prints_has_no_secret(writer: str) -> None:
    talk, data = FakeTerminal(), FakeTerminal()
    console = Console(talk, data, verbose=True)
    said = WRITERS[writer](SECRET)
    error = MigrationError(
        said, hint=said, expected=said, seen=said, details=[said], log=LogTail.of(said, f"{said}\n{said}")
    )
    error.go_on = said

    console.begin(1, 2, said)
    console.seen(said)
    console.detail(said)
    console.step(1, 2, said, said, 0.1)
    console.step(1, 2, said, said, 0.1, skipped=True)
    console.note(said)
    console.say(said)
    console.table([said, said], [[said, said]])
    console.check(False, said, said, said)
    console.warning(said, said, said, said, said)
    console.error(error, said)
    console.log_line(said, said, 0)
    console.answering().say(said)
    console.data({said: [said, {"x": said}], "error": error.as_data()})
    console.unexpected(ValueError(said))
    console.settle()

    assert not leaks(talk.getvalue() + data.getvalue())


@pytest.mark.usefixtures("known")
def test_a_secret_is_revealed_to_who_asks_for_it() -> None:
    data = io.StringIO()

    Console(io.StringIO(), data).answering().reveal(f"postgresql://x:{quote(SECRET, safe='')}@db")

    assert data.getvalue() == f"postgresql://x:{quote(SECRET, safe='')}@db\n"


def test_a_log_is_cut_when_its_secrets_are_hidden() -> None:
    """The last lines would begin with the half of one that nobody finds any more."""
    SECRETS.learn({"KEY": "first half 1\nsecond half 2"})

    lines = LogTail.of("tool", "first half 1\nsecond half 2\n" + "x\n" * (LogTail.KEPT - 1)).lines

    assert "second half 2" not in "\n".join(lines)


def test_a_line_is_cut_to_the_terminal_when_its_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    SECRETS.learn({"TOKEN": "0123456789abcdef"})
    terminal = FakeTerminal()
    console = Console(terminal)

    console.begin(1, 1, "migrate")
    console.seen("token 0123456789abcdef")
    console.note("something else draws it again")
    console.settle()

    assert f"token {HIDDEN}" in terminal.getvalue()
    assert "0123" not in terminal.getvalue()


@pytest.mark.usefixtures("known")
def test_a_setting_that_is_wrong_is_shortened_without_its_secret() -> None:
    long = f"{'x' * 40}{SECRET}{'y' * 100}"
    config = {
        "bootorder": {"database": {"service": "db", "name": "shop", "user": [long, {"a": long}], "password": "P"}}
    }

    with pytest.raises(SettingsError) as refused:
        parse(config)

    assert "xxx" in refused.value.message
    assert SECRET[:6] not in refused.value.message


def test_a_password_that_stands_where_its_variable_belongs_is_not_shown() -> None:
    config = {"bootorder": {"database": {"service": "db", "name": "shop", "user": "me", "password": "Geheim-77"}}}

    with pytest.raises(SettingsError) as refused:
        parse(config)

    assert "Geheim" not in str(refused.value.as_data())
    assert "bootorder.database.password" in refused.value.message


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("writer", WRITERS)
def test_no_picture_and_no_file_of_a_boot_has_a_secret(writer: str, tmp_path: Path) -> None:
    said = WRITERS[writer](SECRET)
    timeline = Timeline()
    with pytest.raises(ValueError), timeline.span("migrate", "stage", cause=said), timeline.span(said, "tool"):
        raise ValueError(said)
    timeline.recording({"stack": said}).save(tmp_path / "timeline.json")
    kept = type(timeline.recording({})).load(tmp_path / "timeline.json")

    texts = [(tmp_path / "timeline.json").read_text(encoding="utf-8"), drawing.svg(kept), drawing.html(kept)]

    assert not leaks("".join([*texts, json.dumps(trace(kept))]))


@pytest.mark.usefixtures("known")
def test_a_mistake_of_ours_shows_its_trace_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    talk = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(threading, "excepthook", threading.excepthook)
        with pytest.raises(ZeroDivisionError) as mistake, translated(Console(talk)):
            raise ZeroDivisionError(f"by {SECRET}\x1b]0;title\x07")
        sys.excepthook(ZeroDivisionError, mistake.value, None)

    assert "Traceback" in talk.getvalue()
    assert f"ZeroDivisionError: by {HIDDEN}" in talk.getvalue()
    assert not leaks(talk.getvalue())
    assert "\x1b" not in talk.getvalue()
    assert capsys.readouterr().err == ""


def test_a_literal_password_of_the_database_s_service_is_a_secret(stack: FakeStack) -> None:
    stack.config["database"] = {**stack.config["database"], "service_password": "POSTGRES_PASSWORD"}
    del stack.config["database"]["password"]
    stack.runtime.environments = {"postgres": {"POSTGRES_PASSWORD": "in-compose-yaml-1"}}

    stack.boot().learn_declared()

    assert SECRETS.redact("in-compose-yaml-1") == HIDDEN
