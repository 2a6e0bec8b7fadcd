"""`${NAME:-default}` in compose files: what comes of it, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .findings import Fact, Sure, weaker

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NESTED = 10  # `${A:-${B:-...}}`, deeper is left as it is


@dataclass(frozen=True)
class Expanded:
    """`names`: the variables in it; one without a value stays, as `${NAME}`."""

    text: str
    sure: Sure = "certain"
    names: tuple[str, ...] = ()


def expand(text: str, variables: Mapping[str, Fact], depth: int = 0) -> Expanded:
    """The text as Compose would have it with these variables. Whatever is not understood stays as it is."""
    parts: list[Expanded] = []
    position = 0
    while position < len(text):
        dollar = text.find("$", position)
        if dollar < 0 or depth > _NESTED:
            parts.append(Expanded(text[position:]))
            break
        parts.append(Expanded(text[position:dollar]))
        part, position = _reference(text, dollar, variables, depth)
        parts.append(part)
    return Expanded(
        "".join(part.text for part in parts),
        weaker("certain", *(part.sure for part in parts)),
        tuple(name for part in parts for name in part.names),
    )


def _reference(text: str, dollar: int, variables: Mapping[str, Fact], depth: int) -> tuple[Expanded, int]:
    """What begins with this `$`, and where it ends."""
    if text.startswith("$$", dollar):
        return Expanded("$"), dollar + 2
    braced = text.startswith("${", dollar)
    name = _NAME.match(text, dollar + 2 if braced else dollar + 1)
    if not name:
        return Expanded("$"), dollar + 1
    if not braced:
        return _value(name.group(), "", "", variables, depth), name.end()
    end = _closing(text, name.end())
    if end < 0:
        return Expanded(text[dollar:]), len(text)
    rest = re.match(r"(:?[-?+])(.*)", text[name.end() : end], re.DOTALL)
    operator, word = (rest[1], rest[2]) if rest else ("", "")
    return _value(name.group(), operator, word, variables, depth), end + 1


def _value(name: str, operator: str, word: str, variables: Mapping[str, Fact], depth: int) -> Expanded:
    known = variables.get(name)
    if operator.endswith("+"):
        return Expanded("", "likely", (name,)) if known is None else _default(name, word, variables, depth)
    if known is not None and (known.value or operator == "-"):
        return Expanded(known.value, known.sure, (name,))
    if operator.endswith("-"):
        return _default(name, word, variables, depth)
    return Expanded(f"${{{name}}}", "likely", (name,))


def _default(name: str, word: str, variables: Mapping[str, Fact], depth: int) -> Expanded:
    inner = expand(word, variables, depth + 1)
    return Expanded(inner.text, weaker("likely", inner.sure), (name, *inner.names))


def _closing(text: str, position: int) -> int:
    """The `}` that belongs to a `${` which began before; -1 without one."""
    depth = 1
    for index in range(position, len(text)):
        if text[index] == "}":
            depth -= 1
            if not depth:
                return index
        elif text.startswith("${", index):
            depth += 1
    return -1
