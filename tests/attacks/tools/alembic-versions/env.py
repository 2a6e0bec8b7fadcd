"""As an owner beside others has it: what was run is kept under a name of its own."""

import os

from alembic import context
from sqlalchemy import create_engine

URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(URL).connect() as connection:
    context.configure(connection=connection, version_table="sso_version")
    with context.begin_transaction():
        context.run_migrations()
