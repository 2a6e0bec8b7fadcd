from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlmodel import Session, select

from .database import create_db_and_tables, get_session
from .models import Campaign, Click


@asynccontextmanager
async def lifespan(app: FastAPI):
    create_db_and_tables()
    yield


app = FastAPI(title="linkshelf clicks", lifespan=lifespan)
SessionDep = Annotated[Session, Depends(get_session)]


class NewClick(BaseModel):
    campaign: str
    link_id: int


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/clicks")
def list_clicks(session: SessionDep) -> list[Click]:
    return list(session.exec(select(Click).order_by(Click.id)))


@app.post("/clicks", status_code=201)
def add_click(new: NewClick, session: SessionDep) -> Click:
    campaign = session.exec(select(Campaign).where(Campaign.name == new.campaign)).first()
    if campaign is None:
        campaign = Campaign(name=new.campaign)
        session.add(campaign)
        session.flush()
    click = Click(campaign_id=campaign.id, link_id=new.link_id)
    session.add(click)
    session.commit()
    session.refresh(click)
    return click
