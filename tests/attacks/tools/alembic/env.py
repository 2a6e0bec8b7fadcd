"""As `alembic init` writes it: no include_object, no include_name."""

import os

from alembic import context
from alembic.operations.ops import DropTableOp, MigrationScript
from models import metadata
from sqlalchemy import create_engine


def in_order(_context: object, _revision: object, directives: list[MigrationScript]) -> None:
    """Drops come in the order of a set, another one each time: sorted as a careful reader would."""
    operations = directives[0].upgrade_ops.ops
    drops = [one for one in operations if isinstance(one, DropTableOp)]
    others = [one for one in operations if one not in drops]
    operations[:] = [*others, *sorted(drops, key=lambda drop: drop.table_name)]


with create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, process_revision_directives=in_order)
    with context.begin_transaction():
        context.run_migrations()
