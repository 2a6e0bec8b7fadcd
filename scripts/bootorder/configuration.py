"""Invoke's configuration: its files are read strictly, and our part of the environment by the types of our keys."""

from __future__ import annotations

import json
import math
import os
import reprlib
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any, cast

from invoke.config import AmbiguousMergeError, Config
from invoke.env import Environment
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy that Invoke itself reads files with

from . import KEY
from .errors import SettingsError, page

_DEEPEST = 50  # levels; what people write has ten
_LARGEST = 100_000  # values; what people write has hundreds


class Configuration(Config):
    """As Invoke's, from the same files in the same order. Raises SettingsError where one of them cannot be read."""

    def _load_yaml(self, path: PathLike[str]) -> Any:
        return self._load(Path(path), _read_yaml)

    _load_yml = _load_yaml

    def _load_json(self, path: PathLike[str]) -> Any:
        return self._load(Path(path), _read_json)

    def _load(self, path: Path, read: Callable[[str], object]) -> dict[str, Any]:
        name = path.name if path.parent == Path(self._project_prefix or "") else str(path)
        try:
            found = read(path.read_bytes().decode("utf-8-sig"))
            levels, count = _expanded(found, {})
        except FileNotFoundError:
            raise  # Invoke looks for the next name
        except OSError as error:
            raise SettingsError(
                f"{name} cannot be read", seen=error.strerror or str(error), hint=f"make {name} a file that can be read"
            ) from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise SettingsError(
                f"{name} is not text in UTF-8",
                seen=f"line {line}: byte {error.object[error.start]:#04x}",
                hint=f"save {name} in UTF-8",
            ) from None
        except _TwiceError as error:
            raise SettingsError(f"{name} has a key twice: {error}", hint="keep one of the two") from None
        except RecursionError:
            raise _too_deep(name) from None
        except (yaml.YAMLError, ValueError) as error:
            seen = _in_a_line(error)
            correct = f"indent {name} with spaces, not with tabs" if "\\t" in seen else f"correct {name} at that line"
            kind = "JSON" if path.suffix == ".json" else "YAML"
            raise SettingsError(f"{name} is not {kind}", seen=seen, hint=correct) from None
        if levels > _DEEPEST:
            raise _too_deep(name)
        if count > _LARGEST:
            raise SettingsError(
                f"{name} is too large",
                expected=f"at most {_LARGEST:,} values, each anchor counted where it is used",
                hint=f"correct {name}; {page('settings.md')} shows one",
            )
        return _as_mapping(name, found)

    def load_shell_env(self) -> None:
        """Invoke's own way for what is Invoke's; see env_settings.py for what is ours."""
        self.merge()
        config: dict[str, Any] = cast("dict[str, Any]", self._config)
        part = config.get(KEY)
        others = {name: value for name, value in config.items() if name != KEY}
        found = Environment(config=others, prefix=self._env_prefix).load()  # type: ignore[arg-type]
        self._set(_env=found)
        if isinstance(part, dict) and any(name.startswith(f"INVOKE_{KEY.upper()}_") for name in os.environ):
            from .env_settings import from_environment

            self._set(_env={**found, KEY: from_environment(part, os.environ)})
        try:
            self.merge()
        except AmbiguousMergeError:  # the file has something else than a part there, which is refused with its place
            self._set(_env=found)
            self.merge()


def _as_mapping(name: str, found: object) -> dict[str, Any]:
    if found is None:  # empty, or nothing but comments
        return {}
    if isinstance(found, dict):
        return found
    raise SettingsError(
        f"{name} is not a mapping",
        expected=f"keys at its top, `{KEY}:` among them",
        seen="a list" if isinstance(found, list) else reprlib.repr(found),
        hint=f"correct {name}; {page('settings.md')} shows one",
    )


class _TwiceError(Exception):
    pass


class _Loader(yaml.SafeLoader):
    """Notes a key that stands twice in a mapping: of two values the last one would count."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)  # type: ignore[no-untyped-call]
        lines: dict[object, int] = {}
        for key, _ in node.value:  # what `<<` merges is not among them yet
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if (key.tag, key.value) in lines:
                    raise _TwiceError(f"`{key.value}`, in line {lines[key.tag, key.value]} and line {line}")
                lines[key.tag, key.value] = line
        return node


def _read_yaml(text: str) -> object:
    return yaml.load(text, _Loader)  # type: ignore[no-untyped-call]  # as safe_load does


def _read_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(f"`{key}`")
        found[key] = value
    return found


def _in_a_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"  # type: ignore[attr-defined]


def _expanded(value: object, known: dict[int, tuple[float, int]]) -> tuple[float, int]:
    """Levels and number of values with every anchor followed, as Invoke copies them. Without end: one within itself."""
    if not isinstance(value, dict | list):
        return 0, 1
    if id(value) not in known:
        known[id(value)] = math.inf, 1
        below = [_expanded(one, known) for one in (value.values() if isinstance(value, dict) else value)]
        known[id(value)] = 1 + max((levels for levels, _ in below), default=0), 1 + sum(count for _, count in below)
    return known[id(value)]


def _too_deep(name: str) -> SettingsError:
    return SettingsError(
        f"{name} is nested too deeply",
        expected=f"at most {_DEEPEST} levels, and no anchor within itself",
        hint=f"correct {name}; {page('settings.md')} shows one",
    )
