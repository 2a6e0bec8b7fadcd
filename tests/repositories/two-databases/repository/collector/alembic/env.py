from alembic import context
from sqlalchemy import create_engine

from collector.settings import settings
from collector.tables import metadata

with create_engine(settings.analytics_database_url).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
