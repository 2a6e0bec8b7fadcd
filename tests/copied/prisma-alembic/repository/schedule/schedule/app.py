from datetime import datetime

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from .tables import Appointment, engine

router = APIRouter(prefix="/api")


class NewAppointment(BaseModel):
    patient: str
    starts_at: datetime


@router.get("/health")
def health():
    return {"status": "up"}


@router.get("/appointments")
def appointments():
    with Session(engine) as session:
        found = session.scalars(select(Appointment).order_by(Appointment.id))
        return [{"id": each.id, "patient": each.patient, "starts_at": each.starts_at} for each in found]


@router.post("/appointments")
def make_appointment(new: NewAppointment):
    with Session(engine) as session:
        made = Appointment(patient=new.patient, starts_at=new.starts_at)
        session.add(made)
        session.commit()
        return {"id": made.id}


app = FastAPI()
app.include_router(router)
