"""`database.before`: SQL files of a database administrator, each run once as the superuser, before any owner's tool."""

from __future__ import annotations

from ..boot import Boot
from ..database import LONG_SECONDS, Target
from ..errors import SettingsError, command
from ..records import record, recorded
from ..sources import digest
from ..sql_files import read_sql, send_sql


def run_before(boot: Boot, target: Target, *, repair: bool) -> list[str]:
    """Run those that this database has not seen. Returns what was run, or would be, for people.

    Raises SettingsError for one that was changed since it was run: to run it again could fail half-way through what is
    there already, and to pass over it would leave its new part out without a word.
    """
    names = boot.settings.database.before
    if not names:
        return []
    texts = {name: read_sql(boot.root, name, "database.before") for name in names}
    done = recorded(target, "before")
    for name, text in texts.items():
        if name in done and done[name].fingerprint != digest([text]):
            raise _changed(name)
    to_run = [name for name in texts if name not in done]
    if repair:
        for name in to_run:
            # A session of its own: what the file sets is gone with it. Names without a schema are PostgreSQL's.
            with target.open(limit=LONG_SECONDS) as connection:
                send_sql(connection, name, texts[name])
            record(target, "before", name, digest([texts[name]]))
    return [f"{name} run" for name in to_run]


def _changed(name: str) -> SettingsError:
    forget = f"delete from bootorder.before where owner = '{name.replace(chr(39), chr(39) * 2)}'"  # noqa: S608  # for a person to read
    return SettingsError(
        f"`database.before`: {name} was changed after it was run",
        expected="a file as it was when this database saw it: each is run once",
        seen="another text; it was not run again, and nothing was touched",
        hint="put what is new into a further file of the list; or, where it may be run again, forget that it was:"
        f' {command("psql --as-superuser --command")} "{forget}"',
        goes_on=False,
    )
