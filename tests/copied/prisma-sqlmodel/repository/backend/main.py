import os

from fastapi import FastAPI
from sqlmodel import Field, Session, SQLModel, create_engine, select


class Rating(SQLModel, table=True):
    __tablename__ = "ratings"

    id: int | None = Field(default=None, primary_key=True)
    recipe_id: int = Field(index=True)
    stars: int
    comment: str | None = None


engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
app = FastAPI()


@app.on_event("startup")
def on_startup():
    SQLModel.metadata.create_all(engine)


@app.get("/health")
def health():
    return {"ok": True}


@app.get("/ratings")
def read_ratings():
    with Session(engine) as session:
        return session.exec(select(Rating).order_by(Rating.id)).all()


@app.post("/ratings", status_code=201)
def create_rating(rating: Rating):
    with Session(engine) as session:
        session.add(rating)
        session.commit()
        session.refresh(rating)
        return rating
