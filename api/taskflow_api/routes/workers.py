"""Workers, and which of them is asking."""

from collections.abc import Sequence

from fastapi import APIRouter
from sqlmodel import col, select

from ..dependencies import Caller, Session
from ..models import Worker
from ..schemas import WorkerView
from .paging import MOST, Limit, Offset

router = APIRouter(tags=["workers"])


@router.get("/me", response_model=WorkerView)
async def me(caller: Caller) -> Worker:
    """Say who is asking."""
    return caller


@router.get("/workers", response_model=list[WorkerView])
async def workers(_caller: Caller, session: Session, limit: Limit = MOST, offset: Offset = 0) -> Sequence[Worker]:
    """List the workers by name."""
    query = select(Worker).order_by(col(Worker.name), col(Worker.id)).limit(limit).offset(offset)
    return (await session.exec(query)).all()
