"""As an owner beside others has it: autogenerate sees its own tables only, and what was run is kept under its name."""

import os

from alembic import context
from sqlalchemy import MetaData, create_engine

metadata = MetaData()

URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(URL).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, version_table="sso_version")
    with context.begin_transaction():
        context.run_migrations()
