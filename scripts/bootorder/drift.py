"""Tables that `create_all` left behind its models, in words: it makes what is missing, and never alters what exists."""

from __future__ import annotations

from collections.abc import Sequence

from .catalog import Catalog, Key, shortened
from .errors import MigrationError, command
from .terminal import counted


def refuse_drift(owner: str, expected: Catalog, there: Catalog) -> None:
    """Raises MigrationError where something of an owner exists, and is not what its models say."""
    found = drift(expected, there)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise MigrationError(
            f"{owner}: create_all never alters a table that exists: {found[0]}{more}",
            expected="the tables of its models, as an empty database gets them",
            seen=f"{counted(len(found), 'difference')} in tables that were made before",
            details=shortened(found),
            hint=also_hint(owner, expected, there)
            or f"add a migration (with Alembic, say), alter it by hand: {command(f'psql --as {owner}')},"
            f" or give all rows up: {command('start --clean')}; where the app alters its tables itself, set"
            f" `owners.{owner}.migrator` to command, and `migrate` to what makes and alters them",
        )


def also_hint(owner: str, expected: Catalog, there: Catalog) -> str:
    """Return what to do where nothing is missing or changed, and what is there beside it stands in the way; else ""."""
    wanted = expected.only(there.relations())
    differ = [key for key in {*wanted.objects, *there.objects} if wanted.objects.get(key) != there.objects.get(key)]
    if not differ or any(key in wanted.objects for key in differ):
        return ""
    names = ", ".join(f'"{key}"' for key in sorted(differ))
    return (
        f"drop it, give it a default ({command(f'psql --as {owner}')}), or write that it is meant to be there:"
        f" `owners.{owner}.also: [{names}]` in invoke.yaml"
    )


def drift(expected: Catalog, there: Catalog) -> Sequence[str]:
    """What differs between what is there and the models; what is not there yet is no difference."""
    wanted = expected.only(there.relations())
    return [
        _told(key, wanted.objects.get(key), there.objects.get(key))
        for key in sorted({*wanted.objects, *there.objects})
        if wanted.objects.get(key) != there.objects.get(key)
    ]


def _told(key: Key, wanted: str | None, there: str | None) -> str:
    whole = f"{key.schema}.{key.relation}"
    what = key.kind if key.name == key.relation else f"{key.kind} {key.name}"
    if there is None:
        return f"{whole} lacks the {what}" + (f" ({wanted})" if wanted else "")
    if wanted is None:
        return f"{whole} has the {what}, which no model has" + (f" ({there})" if there else "")
    return f"{whole} has the {what} as `{there}`, its model as `{wanted}`"
