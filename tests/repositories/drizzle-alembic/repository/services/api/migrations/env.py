import os

from alembic import context
from sqlalchemy import create_engine

from api.models import Base

target_metadata = Base.metadata


def include_name(name, type_, parent_names):
    # the tables of auth are not ours
    return type_ != "table" or name in target_metadata.tables


def include_object(object, name, type_, reflected, compare_to):
    return not (type_ == "table" and reflected and compare_to is None)


engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=target_metadata,
        version_table="api_alembic_version",
        include_name=include_name,
        include_object=include_object,
    )
    with context.begin_transaction():
        context.run_migrations()
