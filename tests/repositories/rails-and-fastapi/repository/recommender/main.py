import os

from fastapi import FastAPI
from sqlalchemy import create_engine

from models import Base

engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
Base.metadata.create_all(bind=engine)

app = FastAPI()


@app.get("/ping")
def ping():
    return "pong"
