"""Hide the values of `.env` in whatever leaves the tasks: console, JSON, errors, timeline, logs.

What is hidden, and what is no secret, is described in `docs/settings.md` under "What is never printed".
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from .terminal import plain, visible

HIDDEN = "***"

# Parts of a variable's name that say that its value is a secret; last parts that say that it is none.
_SPEAKS = re.compile(
    "APIKEY|AUTH|CREDENTIALS?|DSN|KEYS?|PASS|PASSPHRASE|PASSWD|PASSWORD|PRIVATE|PWD?|SALT|SECRETS?|TOKENS?"
)
_SPEAKS_NOT = re.compile(
    "ALGORITHM|AUDIENCE|DATABASE|DB|DIR|DOMAIN|EMAIL|FILE|HOST|HOSTNAME|ID|IMAGE|ISSUER|NAME|ORIGIN|PATH|REGION|TAG|TZ|URI"
    "|URL|USER|USERNAME|VERSION"
)
# Shown or hidden, these tell nobody anything, and stand in ordinary sentences.
_EVERYBODYS = re.compile(
    "admin|administrator|changeme|database|default|dev|development|docker|example|guest|local|localhost|password"
    "|postgres|postgresql|prod|production|root|secret|test|user"
)
_SWITCHES = {"true", "false", "yes", "no", "on", "off", "null", "none"}
# `info`, `Europe/Berlin`, `my-shop`, `./data`, `mail.example.org:25`: words, but no random letters.
_WORD = r"(?:[a-z]+|[A-Z][a-z]+|[A-Z]+)"
_WORDS = re.compile(rf"(?:\./)?{_WORD}(?:[-_./ ]{_WORD})*(?::\d{{1,5}})?")

_SHORTEST = 4  # of a value that is hidden wherever it stands
_GLUED = 6  # of a form that is hidden within a word, too
_LINE = 8  # of a line of a value of several
_PORT_DIGITS = 5
_USER_TOKEN = 16  # the user of a URL without a password, e.g. the key of an error tracker
# Where a word stands that is a password. What is captured stays.
_PLACES = (
    (r"(://[^/@\s:\"']*:)", r"(?=@)"),
    (r"((?i:%3A%2F%2F[^%\s]*%3A))", "(?=%40)"),
    (r"((?i:pass(?:word|wd|phrase)?|pwd)\\?[\"']?(?:\s*(?:=>|[=:])\s*|\s+)\\?[\"']?)", r"(?![A-Za-z0-9_])"),
    (r"((?i:secret|token|key)\\?[\"']?\s*(?:=>|[=:])\s*\\?[\"']?)", r"(?![A-Za-z0-9_])"),
)


@dataclass(frozen=True)
class Redactor:
    """`texts`: the forms of what is hidden wherever it stands. `words`: hidden where they stand as a password only."""

    texts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def long_texts(self) -> list[str]:
        """Those that may be replaced wherever they stand, the longest first."""
        return [text for text in self.texts if len(text) >= _GLUED]

    def redact(self, text: str) -> str:
        """The text with `***` for each secret; the same text where there is none in it."""
        hidden = sorted(self._found(text))
        if "\x1b" in text:  # a tool may colour a part of it
            bare = plain(text)
            if bare != text and (shown := self.redact(bare)) != bare:
                return shown
        if not hidden:
            return text
        parts, done = [], 0
        begin, end = hidden[0]
        for next_begin, next_end in [*hidden[1:], (len(text) + 1, 0)]:
            if next_begin <= end:  # they touch or overlap: nothing of the second one may be left
                end = max(end, next_end)
                continue
            parts += [text[done:begin], HIDDEN]
            done, (begin, end) = end, (next_begin, next_end)
        return "".join([*parts, text[done:]])

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self.texts:
            at = text.find(form)
            while at >= 0:
                if len(form) >= _GLUED or _stands_alone(text, at, at + len(form)):
                    yield at, at + len(form)
                at = text.find(form, at + 1)
        for word in self.words:
            if word in text:
                for pattern in _as_password(word):
                    for found in pattern.finditer(text):
                        yield found.end(1), found.end()


class Secrets:
    """The secrets that this process knows. Threads may learn and redact at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._redactor: Redactor | None = Redactor()
        self.forget()

    def forget(self) -> None:
        """Know nothing, as at the start."""
        with self._lock:
            self._values: dict[tuple[str, str], None] = {}
            self._required: set[str] = set()
            self._names: set[str] = set()
            self._redactor = None

    def learn(
        self, variables: Mapping[str, str] | None = None, *, required: Iterable[str] = (), names: Iterable[str] = ()
    ) -> None:
        """Add values by their variables. `required`: variables whose values are passwords, whatever they are called.

        `names`: what databases, roles and services are called; a password of that name is hidden in its place only.
        """
        values, required, names = dict.fromkeys((variables or {}).items()), set(required), set(names)
        with self._lock:
            if values.keys() <= self._values.keys() and required <= self._required and names <= self._names:
                return
            self._values |= values
            self._required |= required
            self._names |= names
            self._redactor = None

    @property
    def redactor(self) -> Redactor:
        with self._lock:
            if self._redactor is None:
                self._redactor = self._made()
            return self._redactor

    def redact(self, text: str) -> str:
        return self.redactor.redact(text)

    def redacted(self, value: Any) -> Any:
        """The same for whatever JSON can say, at any depth."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redacted(key): self.redacted(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.redacted, value))
        return value

    def _made(self) -> Redactor:
        texts: set[str] = set()
        words: set[str] = set()
        for name, value in self._values:
            inside = _passwords_of(value)
            if inside:  # as it is, only its password is hidden: the rest tells which database it was
                texts |= forms(value) - {value}
            is_plain = name not in self._required and _is_plain(name, value)
            for secret in inside or ([value] if value and not is_plain else []):
                if self._is_everybodys(secret):
                    words.add(secret)
                    texts |= {form for form in _in_base64(secret) if len(form) >= _LINE}
                else:
                    texts |= forms(secret)
            if is_plain and _WORDS.fullmatch(value) and value.lower() not in _SWITCHES:
                words.add(value)
        texts = {text for text in texts if not self._is_everybodys(text)}
        return Redactor(tuple(sorted(texts, key=lambda text: (-len(text), text))), tuple(sorted(words)))

    def _is_everybodys(self, value: str) -> bool:
        """Whether it stands in ordinary sentences: to hide it there would show it, and spoil them."""
        is_number = value.isdecimal() and len(value) <= _PORT_DIGITS
        return is_number or len(value) < _SHORTEST or value in self._names or bool(_EVERYBODYS.fullmatch(value.lower()))


# What this process knows: there is one, as what it prints goes to one terminal whoever prints it.
SECRETS = Secrets()


def _is_plain(name: str, value: str) -> bool:
    """Whether this is plainly no secret, unless the settings say that it is one."""
    if name.startswith("COMPOSE_") or len(value) < _SHORTEST or value.lower() in _SWITCHES:
        return True
    speaks, last = _speaks_of_a_secret(name), re.split(r"[^A-Z0-9]+", name.upper())[-1]
    if re.fullmatch(r"[+-]?\d+(?:\.\d+)?", value):
        return not speaks or len(value) <= _PORT_DIGITS
    return not speaks and bool(_SPEAKS_NOT.fullmatch(last) or _is_url(value) or _WORDS.fullmatch(value))


def _speaks_of_a_secret(name: str) -> bool:
    parts = re.split(r"[^A-Z0-9]+", name.upper())
    return "WEBHOOK" in parts or (any(map(_SPEAKS.fullmatch, parts)) and not _SPEAKS_NOT.fullmatch(parts[-1]))


def _is_url(value: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://\S*$", value) is not None


def _passwords_of(value: str) -> list[str]:
    """The passwords in a URL, as they stand there and decoded: after its user, a user that is a key, in its query."""
    if not _is_url(value):
        return []
    # By hand: urlsplit refuses a password with a bracket, and ends the server at a `/`, `?` or `#` in a password.
    rest = value.partition("://")[2]
    first, at, behind = rest.partition("@")
    last = (first + at + behind.partition("/")[0]).rpartition("@")[0]  # where the password has an `@`
    found = []
    for user, colon, password in (first.partition(":"), last.partition(":")):
        if at:
            found += [password] if colon else [user] if len(user) >= _USER_TOKEN else []
    query = value.partition("?")[2].partition("#")[0]
    for pair in query.split("&"):
        name, _, given = pair.partition("=")
        found += [given] if _speaks_of_a_secret(re.sub("(?<=[a-z])(?=[A-Z])", "_", name)) else []
    return list(dict.fromkeys(one for part in found if part for one in (part, unquote(part))))


def forms(value: str) -> set[str]:
    """The value as it is, and as tools write it: encoded, escaped, quoted."""
    once = {value, *_encoded(value), *_escaped(value), " ".join(value.split()), visible(value), plain(value)}
    once |= {line.strip() for line in value.splitlines() if len(line.strip()) >= _LINE}
    twice = {form for one in once for form in _wrapped(one)}
    # One that is short, of a value that is not, would hide what has nothing to do with it.
    return {form for form in once | twice | _in_base64(value) if len(form) >= min(len(value), _GLUED) and form}


def _encoded(value: str) -> Iterator[str]:
    """In URLs: by Python, by JavaScript (encodeURIComponent, encodeURI, URL), by forms; `%2F` and `%2f`."""
    raw = value.encode(errors="surrogatepass")
    for safe in ("", "/", "!'()*", "!$&'()*+,", "!#$&'()*+,/:;=?@"):
        for encoded in (quote(raw, safe=safe), quote_plus(raw, safe=safe)):
            yield encoded
            yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)


def _escaped(value: str) -> Iterator[str]:
    """In JSON (of Python, JavaScript and Go), Python, SQL, shells, XML, connection strings and compose files."""
    plain, ascii_only = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]
    yield from (plain, ascii_only)
    yield re.sub("[&<>]", lambda found: f"\\u{ord(found[0]):04x}", plain)
    yield repr(value)[1:-1]
    yield from (value.replace("'", "''"), value.replace('"', '""'), value.replace("$", "$$"))
    yield value.replace("\\", "\\\\").replace("'", "\\'")
    yield value.replace("\\", "\\\\").replace("'", "''")
    yield from (shlex.quote(value).removeprefix("'").removesuffix("'"), value.replace("'", "'\\''"))
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", value)
    yield re.sub(r"([\"\\$`])", r"\\\1", value)
    yield from (html.escape(value), html.escape(value, quote=False))
    yield html.escape(value).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    yield html.escape(value).replace("&#x27;", "&apos;")


def _wrapped(text: str) -> Iterator[str]:
    """What holds the text already written for something else: JSON in JSON, a URL in a URL, a statement in a page."""
    plain_json = json.dumps(text, ensure_ascii=False)[1:-1]
    yield from (plain_json, json.dumps(text)[1:-1], html.escape(text), html.escape(plain_json))
    yield quote(text.encode(errors="surrogatepass"), safe="")


def _in_base64(value: str) -> set[str]:
    """By itself and within something longer, e.g. `user:password` of HTTP; and as hexadecimal digits."""
    raw = value.encode(errors="surrogatepass")
    found = {raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode().rstrip("=")}
    for shift in range(3):
        # What stands before and behind decides the first and the last character of it.
        inner = base64.b64encode(b"\0" * shift + raw).decode()[(0, 2, 3)[shift] :].rstrip("=")
        whole = inner if (shift + len(raw)) % 3 == 0 else inner[:-1]
        found |= {whole} if len(whole) >= _LINE else set()
    return found | {one.replace("+", "-").replace("/", "_") for one in found}


def _stands_alone(text: str, begin: int, end: int) -> bool:
    return not (text[begin - 1 : begin].isalnum() and text[begin].isalnum()) and not (
        text[end : end + 1].isalnum() and text[end - 1].isalnum()
    )


@cache
def _as_password(word: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(before + re.escape(word) + after) for before, after in _PLACES)
