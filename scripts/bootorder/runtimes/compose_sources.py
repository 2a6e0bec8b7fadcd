"""What images are built from: whether the files of a build's context were touched since the last build here.

A build of nothing new takes a second, and only it knows; this look takes milliseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import sources, state_files

_NEVER = [pattern for name in sorted(sources.NOT_SOURCES) for pattern in (f"**/{name}", f"**/{name}/**")]


class BuiltFrom:
    """What each service was last built from, kept in a file."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note

    def is_touched(self, service: str, config: Mapping[str, Any]) -> bool:
        """Whether it is known to be; not where it was never built here, or from no folder of this machine."""
        last = self._read().get(service)
        return last is not None and last != look(config)

    def keep(self, looks: Mapping[str, str]) -> None:
        """Note what services were built from."""
        kept = {**self._read(), **looks}
        if kept != self._read():
            state_files.make_folder(self._path.parent)
            state_files.write(self._path, json.dumps(kept))

    def _read(self) -> Mapping[str, str]:
        return state_files.read(self._path, _looks_of, self._note) or {}


def _looks_of(data: Any) -> Mapping[str, str]:
    return {str(service): str(look) for service, look in data.items()}


def look(config: Mapping[str, Any]) -> str:
    """Return a digest of names, sizes and times of the files that a service's image is built from."""
    from docker.utils import exclude_paths

    build = config.get("build") or {}
    context = Path(build.get("context", ""))
    if not build or not context.is_dir():
        return ""
    ignored = context / ".dockerignore"
    lines = ignored.read_text(encoding="utf-8", errors="replace").splitlines() if ignored.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    # NOT_SOURCES last: a `!` line of the file must not bring node_modules back.
    names = sorted(exclude_paths(str(context), [*patterns, *_NEVER], dockerfile=build.get("dockerfile")))
    return sources.digest([json.dumps(build, sort_keys=True), *(_seen(context, name) for name in names)])


def _seen(context: Path, name: str) -> str:
    """A folder changes with its files, and whenever something that is ignored is made in it."""
    try:
        found = os.lstat(context / name)
    except OSError as error:
        return f"{name} {type(error).__name__}"
    return name if (context / name).is_dir() else f"{name} {found.st_size} {found.st_mtime_ns}"
