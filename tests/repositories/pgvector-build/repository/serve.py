import os

import uvicorn
from fastapi import FastAPI
from sqlalchemy import create_engine

from models import Base

engine = create_engine(os.environ["PGVECTOR_URL"])
app = FastAPI()


@app.get("/health")
def health():
    return {"status": "ok"}


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    uvicorn.run(app, host="0.0.0.0", port=8000)
