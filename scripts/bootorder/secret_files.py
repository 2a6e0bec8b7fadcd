"""Passwords that stand in files of their own, as Docker secrets do: made at random on first use, never written over."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .errors import SettingsError
from .redaction import SECRETS
from .settings import SecretFile


def read(root: Path, name: SecretFile) -> str:
    """Return the password. Raises SettingsError where there is none."""
    path, value = root / name, ""
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")  # as images read it: without the line's end
    except FileNotFoundError:
        seen = "there is no such file"
    except (OSError, UnicodeDecodeError) as error:
        seen = str(error)
    else:
        seen = "it is empty"
    if not value:
        raise SettingsError(
            f"the file {name} has no password",
            expected=f"text in UTF-8 in {path}",
            seen=seen,
            hint=f"write the password into {path}, or remove the file to have one made",
        )
    if "\n" in value:
        raise SettingsError(
            f"the file {name} has several lines",
            expected="a password, in one line",
            hint=f"correct {path}",
        )
    SECRETS.learn({name: value}, required=[name])
    return value


def learn(root: Path, names: Sequence[SecretFile]) -> None:
    """Let none of them be printed; those that cannot be read are refused where they are needed."""
    for name in names:
        try:
            read(root, name)
        except SettingsError:
            continue


def missing(root: Path, name: SecretFile) -> bool:
    return not (root / name).exists()


def complete(root: Path, names: Sequence[SecretFile], note: Callable[[str], None]) -> Iterator[SecretFile]:
    """Make those that are missing; those that are there are kept. Yields what was made."""
    for name in dict.fromkeys(names):
        path = root / name
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, parents=True)
            # The mode is given to open: nobody may look between that and a change of it. And two tasks make one file.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise SettingsError(
                f"cannot write {name}: {error.strerror}",
                expected="a file that this user can write, for a password",
                hint=f"make {path.parent} writable, or write the password into {path} yourself",
            ) from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            value = secrets.token_hex(24)
            SECRETS.learn({name: value}, required=[name])
            file.write(value)
        _let_containers_read(path, note)
        yield name


def _let_containers_read(path: Path, note: Callable[[str], None]) -> None:
    """A server in a container reads it as another account, past the folder: which then keeps all others away."""
    if os.name == "nt":
        return
    if stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0:
        path.chmod(0o644)
    else:
        note(
            f"{path.name} can be read by its user only, as {path.parent} is open to others; a container that runs as"
            f" another account cannot read it: chmod 700 {path.parent} && chmod 644 {path}"
        )
