"""Repositories for the tests of detection and of the checks, and what is asked of what was found."""

from __future__ import annotations

import io
from pathlib import Path

from scripts.bootorder.check.checking import check
from scripts.bootorder.console import Console
from scripts.bootorder.detect.findings import Detected
from scripts.bootorder.detect.showing import print_detected

ROOT = Path(__file__).parents[2]
# Those that are only looked at, and those that are booted, too (`nox -s copy`).
REPOSITORIES = sorted(
    path.parent for kind in ("repositories", "copied") for path in (ROOT / "tests").glob(f"{kind}/*/repository")
)

POSTGRES = "services:\n  db:\n    image: postgres:18\n"


def repository(root: Path, **texts: str) -> Path:
    """`compose_yaml="..."` is compose.yaml; two underscores are a slash."""
    for name, text in texts.items():
        folder, _, last = name.replace("__", "/").rpartition("/")
        put(root, f"{folder}/{last.replace('_', '.')}".lstrip("/"), text)
    return root


def put(root: Path, name: str, text: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def notes(found: Detected) -> list[str]:
    return [f"{note.where}: {note.text}" for note in found.notes]


def printed(found: Detected) -> str:
    out = io.StringIO()
    print_detected(Console(out, out), found)
    return out.getvalue()


def warned(root: Path, **texts: str) -> list[str]:
    """What `inv check` says of this repository: places and codes."""
    return [f"{each.where} {each.code}" for each in check(repository(root, **texts)).warnings]
