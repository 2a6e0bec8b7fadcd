"""Writing the audit trail."""

from sqlmodel.ext.asyncio.session import AsyncSession

from .models import AuditLog, Project, Task, Worker


async def record(session: AsyncSession, actor: Worker, action: str, row: Project | Task | Worker, detail: str) -> None:
    """Add the audit row of a change to the change's own transaction: neither is ever kept without the other."""
    await session.flush()  # gives a new row its id
    entity = str(row.__tablename__)
    session.add(AuditLog(actor_id=actor.id, action=action, entity=entity, entity_id=row.id, detail=detail))
