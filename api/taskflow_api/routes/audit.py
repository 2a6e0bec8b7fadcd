"""Reading the audit trail. Nothing here can change it."""

from fastapi import APIRouter
from sqlmodel import col, select

from ..dependencies import Caller, Session
from ..models import AuditLog, Worker
from ..schemas import AuditView
from .paging import Limit, Offset

router = APIRouter(tags=["audit"])


@router.get("/audit")
async def audit(_caller: Caller, session: Session, limit: Limit = 50, offset: Offset = 0) -> list[AuditView]:
    """List what was changed and by whom, newest first."""
    query = (
        select(AuditLog, Worker.name)
        .join(Worker, col(AuditLog.actor_id) == col(Worker.id))
        .order_by(col(AuditLog.id).desc())
        .limit(limit)
        .offset(offset)
    )
    return [AuditView(**entry.model_dump(), actor_name=actor) for entry, actor in await session.exec(query)]
