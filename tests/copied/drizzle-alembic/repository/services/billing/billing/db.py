import os

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, sessionmaker

url = os.environ.get("DATABASE_URL", "postgresql://tickets:tickets@localhost/tickets")
engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
SessionLocal = sessionmaker(engine)


class Base(DeclarativeBase):
    pass
