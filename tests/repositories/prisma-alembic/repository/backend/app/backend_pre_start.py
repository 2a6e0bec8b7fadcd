import logging

from sqlalchemy import Engine
from sqlmodel import Session, select

from app.core.db import engine

logging.basicConfig(level=logging.INFO)


def init(db_engine: Engine) -> None:
    with Session(db_engine) as session:
        session.exec(select(1))


if __name__ == "__main__":
    init(engine)
