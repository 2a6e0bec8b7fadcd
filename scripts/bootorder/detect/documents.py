"""Files that have a form: YAML with the line of each value, JSON with comments, TOML, variables."""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dotenv.parser import parse_stream
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from .files import Repository, line_at
from .findings import Fact, Where

_MERGE = "<<"


@dataclass(frozen=True)
class Node:
    """A value in a YAML file. Aliases are followed when they are asked for, so one within itself does no harm."""

    file: str
    _node: Any

    @property
    def where(self) -> Where:
        return Where(self.file, self._node.start_mark.line + 1)

    @property
    def text(self) -> str | None:
        """What a scalar says; nothing for a list, a mapping or `null`."""
        if not isinstance(self._node, yaml.ScalarNode) or self._node.tag.endswith(":null"):
            return None
        return str(self._node.value)

    def elements(self) -> list[Node]:
        """Of a list."""
        return [Node(self.file, each) for each in self._node.value] if isinstance(self._node, yaml.SequenceNode) else []

    def items(self) -> dict[str, tuple[Where, Node]]:
        """Of a mapping: where the key stands, and the value. What is merged (`<<`) comes after what is written."""
        found: dict[str, tuple[Where, Node]] = {}
        for mapping in _merged(self._node, set()):
            for key, value in mapping.value:
                if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
                    place = Where(self.file, key.start_mark.line + 1)
                    found.setdefault(str(key.value), (place, Node(self.file, value)))
        return found

    def get(self, *keys: str) -> Node | None:
        """The value below these keys."""
        node: Node | None = self
        for key in keys:
            node = node.items().get(key, (None, None))[1] if node else None
        return node

    def texts(self) -> list[str]:
        """A scalar, or the scalars of a list."""
        if self.text is not None:
            return [self.text]
        return [each.text for each in self.elements() if each.text is not None]


def _merged(node: Any, seen: set[int]) -> Iterator[Any]:
    """The mapping, then those that it merges: each once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _merged(each, seen)
    if isinstance(node, yaml.MappingNode):
        yield node
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == _MERGE:
                yield from _merged(value, seen)


def yaml_of(repository: Repository, path: str) -> list[Node]:
    """The documents of the file."""
    return repository.once(path, "yaml", lambda: _yaml(repository, path))


def _yaml(repository: Repository, path: str) -> list[Node]:
    try:
        found = list(yaml.compose_all(repository.text(path), Loader=yaml.SafeLoader))  # type: ignore[no-untyped-call]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "has characters that YAML does not allow"
        repository.note(path, f"is not YAML: {said}", mark.line + 1 if mark else 0)
    except (ValueError, OverflowError, RecursionError) as error:
        repository.note(path, f"is not YAML: {_first_line(error)}")
    else:
        return [Node(path, node) for node in found if node is not None]
    return []


def plain_values(text: str) -> Any:
    """What YAML says. Raises ValueError where it is none."""
    try:
        return yaml.safe_load(text)  # type: ignore[no-untyped-call]
    # the last ones are of values that are not what their tag says
    except (yaml.YAMLError, RecursionError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(_first_line(error)) from error


# A text is taken whole, so that `//` in it (a URL) is no comment. What is not closed goes on to the end.
_JSON_EXTRA = re.compile(r'("(?:[^"\\\n]|\\.)*"?)|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[}\]])', re.DOTALL)


def json_of(repository: Repository, path: str) -> Any:
    """The value; comments and a comma before a bracket are allowed. Nothing where it is none."""
    return repository.once(path, "json", lambda: _json(repository, path))


def _json(repository: Repository, path: str) -> Any:
    text = repository.text(path)
    for content in (text, _without_comments(text)):
        try:
            return json.loads(content)
        except json.JSONDecodeError as error:
            trouble: tuple[str, int] = (error.msg, error.lineno)
        except (ValueError, RecursionError) as error:
            trouble = (_first_line(error), 0)
    if text.strip():
        repository.note(path, f"is not JSON: {trouble[0]}", trouble[1])
    return None


def _without_comments(text: str) -> str:
    """Each replaced by its line ends, so that lines keep their numbers; a comma behind a comment is found, too."""

    def kept(found: re.Match[str]) -> str:
        return found.group(1) or "\n" * found.group().count("\n")

    return _JSON_EXTRA.sub(kept, _JSON_EXTRA.sub(kept, text))


_SCRIPT_EXTRA = re.compile(
    r"""("(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|`(?:[^`\\]|\\.)*`?)|//[^\n]*|/\*.*?(?:\*/|\Z)""", re.DOTALL
)


def script_without_comments(text: str) -> str:
    """JavaScript or TypeScript; lines keep their numbers."""
    return _SCRIPT_EXTRA.sub(lambda found: found.group(1) or "\n" * found.group().count("\n"), text)


def without_comment_lines(text: str) -> str:
    """Of Python or Ruby, as far as lines that are nothing else; lines keep their numbers."""
    return re.sub(r"^[ \t]*#[^\n]*", "", text, flags=re.MULTILINE)


def toml_of(repository: Repository, path: str) -> dict[str, Any]:
    """The tables of the file; none where it is not TOML."""
    return repository.once(path, "toml", lambda: _toml(repository, path))


def _toml(repository: Repository, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(repository.text(path))
    except (ValueError, RecursionError) as error:
        said = _first_line(error)
        line = re.search(r"at line (\d+)", said)
        repository.note(path, f"is not TOML: {said}", int(line[1]) if line else 0)
        return {}


def variables_of(repository: Repository, path: str) -> dict[str, Fact]:
    """NAME=value lines of `.env` and the like; the last one of a name counts."""
    found = {}
    for line in parse_stream(io.StringIO(repository.text(path))):
        before = len(line.original.string) - len(line.original.string.lstrip())
        number = line.original.line + line.original.string[:before].count("\n")
        if line.error:
            repository.note(path, "is not NAME=value", number)
        elif line.key:
            found[line.key] = Fact(line.value or "", Where(path, number))
    return found


def line_of_key(text: str, *keys: str) -> int:
    """Where `"key":` (JSON) or `key =` (TOML) stands, each after the one before; 0 where it does not."""
    offset = 0
    for key in keys:
        found = re.compile(rf"(?:\"{re.escape(key)}\"\s*:|^\[?\"?{re.escape(key)}\"?\s*[=\].])", re.MULTILINE).search(
            text, offset
        )
        if not found:
            return 0
        offset = found.end()
    return line_at(text, offset - 1)


def lines_below(text: str, key: str) -> dict[str, int]:
    """Of the JSON object at `"key":`, the line of each of its own keys."""
    begin = re.search(rf'"{re.escape(key)}"\s*:\s*\{{', text)
    if not begin:
        return {}
    end = text.find("}", begin.end())
    found: dict[str, int] = {}
    line, position = line_at(text, begin.end()), begin.end()
    for name in re.finditer(r'"((?:[^"\\\n]|\\.)*)"\s*:', text[: end if end >= 0 else None]):
        if name.start() >= begin.end():
            line += text.count("\n", position, name.start())
            position = name.start()
            found.setdefault(name[1], line)
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
