"""Settings from the environment: `INVOKE_BOOTORDER_` and the path of the key in invoke.yaml, e.g. `..._APPS_WEB_WAIT`.

Invoke's own way reaches only keys that the file has, takes "false" for true, and cannot read lists.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from . import KEY
from .errors import SettingsError, page
from .settings import Settings, nearest, problem_in_words

PREFIX = f"INVOKE_{KEY.upper()}_"
_YES_OR_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class _Key:
    path: tuple[str, ...]
    kind: Any  # the type that pydantic validates
    takes_more: bool = False  # any name may stand below it

    @property
    def variable(self) -> str:
        """A character that no variable can have is `_`, as is what stands between two keys."""
        return PREFIX + "_".join(re.sub(r"\W", "_", part, flags=re.ASCII).upper() for part in self.path)

    @property
    def dotted(self) -> str:
        return ".".join((KEY, *self.path))


def from_environment(part: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the variables say, nested as `part` is, which has the names of owners, apps and processes.

    Raises SettingsError on a variable of no known key, of more than one, or with a value that its key cannot have.
    """
    given = {variable: text for variable, text in environ.items() if variable.startswith(PREFIX)}
    if not given:
        return {}
    found: dict[str, Any] = {}
    keys = list(_keys(Settings, part, ()))
    for variable, text in sorted(given.items()):
        key = _key_of(variable, keys)
        below = found
        for name in key.path[:-1]:
            below = below.setdefault(name, {})
        value = _value(variable, text, key)
        # A single name below `env` or `variables`, which comes after it in the alphabet, adds to the whole of it.
        below[key.path[-1]] = value
    return found


def overlay(part: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    """Write values over those of the file."""
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(part.get(name), MutableMapping):
            overlay(part[name], value)
        else:
            part[name] = value


def _keys(model: type[BaseModel], part: object, path: tuple[str, ...]) -> Iterator[_Key]:
    """Every key of a part; below names those that the file has."""
    written = part if isinstance(part, Mapping) else {}
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        below = written.get(here[-1])
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, below, here)
        elif get_origin(kind) is not dict:
            yield _Key(here, Annotated[(kind, *field.metadata)] if field.metadata else kind)
        else:
            of_name, of_value = get_args(kind)
            names = [name for name in below if isinstance(name, str)] if isinstance(below, Mapping) else []
            if isinstance(of_value, type) and issubclass(of_value, BaseModel):
                for each in names:
                    yield from _keys(of_value, below[each] if isinstance(below, Mapping) else None, (*here, each))
            else:
                fixed = [each for each in get_args(of_name) if isinstance(each, str)]
                yield _Key(here, kind, takes_more=not fixed)
                for each in dict.fromkeys([*names, *fixed]):
                    yield _Key((*here, each), of_value)


def _key_of(variable: str, keys: list[_Key]) -> _Key:
    found = [key for key in keys if key.variable == variable]
    if len(found) > 1:
        raise SettingsError(
            f"{variable} can be more than one key: {' or '.join(f'`{key.dotted}`' for key in found)}",
            expected="names that differ in more than their case and `-`, `_` or `.`",
            hint="set it in invoke.yaml instead, or rename one of them",
        )
    if found:
        return found[0]
    for key in keys:  # a new name, e.g. of a variable in `env`
        rest = variable.removeprefix(f"{key.variable}_")
        if key.takes_more and rest not in {variable, ""}:
            return _Key((*key.path, rest), get_args(key.kind)[1])
    short = {key.variable.removeprefix(PREFIX): key.variable for key in keys}
    near = short.get(nearest(variable.removeprefix(PREFIX), short), "")
    raise SettingsError(
        f"unknown variable {variable}" + (f"; did you mean {near}?" if near else ""),
        expected=f"{PREFIX} and the path of a key; owners, apps and processes are those of invoke.yaml",
        hint=f"correct or unset {variable}; {page('settings.md')} lists every key",
    )


def _value(variable: str, text: str, key: _Key) -> object:
    try:
        value = _read(text, key.kind)
        TypeAdapter(key.kind).validate_python(value)
    except ValidationError as error:
        said = problem_in_words(error.errors()[0])
    except ValueError as error:
        said = f"cannot be read: {str(error)[:1].lower()}{str(error)[1:]}"
    else:
        return value
    raise SettingsError(
        f"{variable} {said}",
        expected=f"a value of `{key.dotted}`",
        hint=f"correct or unset {variable}; {page('settings.md')} lists every key",
    )


def _read(text: str, kind: Any) -> object:
    """The text as a value of this type; where it is none, the text, which is then refused. Raises ValueError."""
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if base is bool:
        return _YES_OR_NO.get(text.strip().lower(), text)
    if base in {int, float}:
        try:
            return base(text)
        except ValueError:
            return text
    if get_origin(base) is tuple:
        return json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    if get_origin(base) is dict:
        return json.loads(text)
    return text
