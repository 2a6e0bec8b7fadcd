"""Reminds patients of tomorrow's appointments."""

import time
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from .tables import Appointment, engine


def remind() -> None:
    with Session(engine) as session:
        soon = select(Appointment).where(
            Appointment.starts_at < datetime.now() + timedelta(days=1), Appointment.reminded.is_(False)
        )
        for appointment in session.scalars(soon):
            print(f"dear {appointment.patient}, see you at {appointment.starts_at}", flush=True)
            appointment.reminded = True
        session.commit()


if __name__ == "__main__":
    while True:
        remind()
        time.sleep(5)
