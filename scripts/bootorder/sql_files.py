"""SQL files of a repository, sent as they are: what psql alone understands is refused before anything is sent."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from .database import Connection
from .errors import MigrationError, SettingsError, command

# psql's own: commands with a backslash, and rows between COPY and `\.`
_PSQL = re.compile(r"^(?:\\.*|copy\b[^;]*\bfrom\s+stdin\b.*)", re.IGNORECASE | re.MULTILINE)
# What pg_dump writes since August 2025 around its text; without psql it says nothing.
_RESTRICT = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)


def read_sql(root: Path, name: str, setting: str) -> str:
    """Return the text of a file that a setting names. Raises SettingsError where it cannot be sent to the server."""
    path = root / name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"`{setting}`: {name} cannot be read",
            expected=f"an SQL file in UTF-8: {path}",
            seen=str(error),
            hint="correct the path in invoke.yaml; it begins at the root of the repository",
        ) from None
    text = _RESTRICT.sub("", text)
    if found := _PSQL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise SettingsError(
            f"`{setting}`: {name} has a command of psql in line {line}",
            expected="SQL alone: no `\\` commands, and no rows of COPY ... FROM stdin",
            seen=found[0][:60],
            hint="write it as SQL (pg_dump --inserts), or run psql: `before: psql -f FILE` of an owner",
        )
    return text


def send_sql(connection: Connection, name: str, text: str) -> None:
    """Send a whole file, all of it or none. Raises MigrationError with the server's words and the line."""
    try:
        connection.execute(text.encode())
    except psycopg.Error as error:
        message = error.diag.message_primary or " ".join(str(error).split())
        position = error.diag.statement_position
        line = f", line {text.count(chr(10), 0, int(position) - 1) + 1}" if position else ""
        alone = isinstance(error, psycopg.errors.ActiveSqlTransaction)
        raise MigrationError(
            f"{name}{line}: {message}",
            expected="every statement of the file done, as one transaction",
            seen=f"SQLSTATE {error.sqlstate or 'none'}; nothing of this file was done",
            details=[text for text in (error.diag.message_detail, error.diag.message_hint) if text],
            hint="put that statement alone into a file of its own: it cannot be in a transaction"
            if alone
            else f"correct the file, then run this again: {command('start')}",
        ) from None
